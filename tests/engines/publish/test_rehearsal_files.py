"""The rehearsal's store of large files: it keeps bytes under their SHA-256, inside its folder, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from refute.engines.publish.rehearsal.repository import RefusedError, Storage
from refute.engines.publish.rehearsal.server import rehearsal_hub

_NAME = "0123456789abcdef" * 4
_NO_NAMES = ("../beside", "../../beside", "hub/../../beside", "//beside", "", ".", "..", "beside")
_ODD_NAMES = (
    _NAME.upper(),
    _NAME[:-1],
    f"{_NAME}0",
    f"{_NAME}\n",
    f"{_NAME}.1.part",
    f"../hub/{_NAME}",
    f"{_NAME}?x=1",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HTTPConnection, Path]]:
    """A connection to the store, and the folder in which the store's own lies."""
    folder = tmp_path_factory.mktemp("room")
    with rehearsal_hub(folder / "hub", "a token") as hub:
        address = urlsplit(hub.files)
        connection = HTTPConnection("127.0.0.1", address.port or 0, timeout=60)
        yield connection, folder
        connection.close()


def _ask(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("name", [name for name in (*_NO_NAMES, *_ODD_NAMES) if "\n" not in name])
def test_no_name_leads_out_of_the_store(files: tuple[HTTPConnection, Path], name: str) -> None:
    """It is neither written nor read, and the same connection goes on."""
    connection, folder = files
    (folder / "beside").write_bytes(b"a secret")
    assert _ask(connection, "PUT", f"/{name}", b"theirs")[0] == 404
    status, content = _ask(connection, "GET", f"/{name}")
    assert status == 404
    assert b"secret" not in content
    assert (folder / "beside").read_bytes() == b"a secret"
    assert sorted(each.name for each in folder.iterdir()) == ["beside", "hub"]
    assert not list((folder / "hub").glob("*.part"))


def test_bytes_come_back_under_their_name(files: tuple[HTTPConnection, Path]) -> None:
    """What the refusals above must not touch."""
    assert _ask(files[0], "PUT", f"/{_NAME}", b"weights")[0] == 200
    assert _ask(files[0], "GET", f"/{_NAME}") == (200, b"weights")


@pytest.mark.parametrize("name", [*_NO_NAMES, *_ODD_NAMES])
def test_a_commit_names_no_file_outside(tmp_path: Path, name: str) -> None:
    """Names also come inside of bodies."""
    (tmp_path / "beside").write_bytes(b"a secret")
    storage = Storage(tmp_path / "hub")
    for ask in (storage.path, storage.part, storage.size, lambda oid: storage.large(oid, 8)):
        with pytest.raises(RefusedError) as caught:
            ask(name)
        assert caught.value.status == 404
