"""What was pulled is what the hub promised, file by file, and it is said what it would be as a teacher."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.hf_api import RepoFile

from refute.engines.model.tools.pull import check_pulled, pull_model, select_teacher
from refute.errors import DigestMismatchError, UnreadableInputError, UsageError
from released_model import edit, released, sound_model  # noqa: F401  # fixtures
from staged_run import TOKEN, open_hub

file_of: Any = RepoFile  # which ships no types


def promised(path: Path) -> list[RepoFile]:
    """What a hub would say of the files of a folder: weights by SHA-256, the rest as git does."""
    found = []
    for file in sorted(path.iterdir()):
        data = file.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        large = {"size": len(data), "oid": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
        lfs = {"lfs": large} if file.suffix == ".safetensors" else {}
        found.append(file_of(path=file.name, size=len(data), oid=git, **lfs))
    return found


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_byte_that_changed_on_the_way_is_named(released: Path, name: str) -> None:  # noqa: F811  # a fixture
    """Of the same size, which is all that the hub's own client looks at; and a file that did not arrive."""
    stated = promised(released)
    check_pulled(released, stated)
    data = bytearray((released / name).read_bytes())
    data[-1] ^= 1
    (released / name).write_bytes(data)
    with pytest.raises(DigestMismatchError, match=rf"{name} has digest"):
        check_pulled(released, stated)
    (released / name).unlink()
    with pytest.raises(DigestMismatchError, match=rf"{name} was promised by the hub, and did not arrive"):
        check_pulled(released, stated)


def test_a_model_is_pulled_into_an_empty_folder(tmp_path: Path) -> None:
    """What lies there already would be taken for it."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is not empty"):
        pull_model("org/name", "0" * 40, tmp_path)


def test_only_a_model_that_is_right_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a hub on the loopback: whole; then with a byte changed in its store; then from nowhere."""
    repo, into, weights = "org/tiny", tmp_path / "models/pulled", b"weights" * 9
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with open_hub(tmp_path / "hub") as hub:
        files = f"{hub.api}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.api)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        api = huggingface_hub.HfApi()
        api.create_repo(repo)
        commit = str(api.upload_file(path_or_fileobj=weights, path_in_repo="a.safetensors", repo_id=repo).oid)
        assert (pull_model(repo, commit, into) / "a.safetensors").read_bytes() == weights
        shutil.rmtree(into)
        stored = hub.storage.path(hashlib.sha256(weights).hexdigest())
        stored.write_bytes(b"X" + weights[1:])
        with pytest.raises(DigestMismatchError, match=r"a\.safetensors has digest"):
            pull_model(repo, commit, into)
    # What its client raises for this is no OSError, as for a lost connection, for which it waits half a minute.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "nowhere://hub")
    with pytest.raises(UnreadableInputError, match=f"{repo}@{commit} cannot be fetched"):
        pull_model(repo, commit, into)
    assert not list(into.parent.iterdir())


def test_a_teacher_says_what_it_needs(released: Path, teacher_folder: Path) -> None:  # noqa: F811  # fixtures
    """Parameters, licence, memory by dtype, and whether the init means the same tokens."""
    found = select_teacher(released, teacher_folder)
    assert (found.model.license, found.vocabulary_fault) == ("apache-2.0", None)
    assert found.memory["float32"] > found.memory["bfloat16"] > 2 * found.model.parameters
    edit(released, "tokenizer.json", swap_two_ids)
    assert "have another id in its teacher" in str(select_teacher(released, teacher_folder).vocabulary_fault)


def swap_two_ids(tokenizer: dict[str, Any]) -> None:
    """Two tokens have each other's number."""
    numbers = tokenizer["model"]["vocab"]
    one, other = list(numbers)[-2:]
    numbers[one], numbers[other] = numbers[other], numbers[one]
