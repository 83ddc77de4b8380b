"""What was pulled is what the hub promised, file by file, and it is said what it would be as a teacher."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.hf_api import RepoFile

from refute.engines.model.tools.pull import check_pulled, pull_model, select_teacher
from refute.errors import DigestMismatchError, UsageError
from released_model import edit, released, sound_model  # noqa: F401  # fixtures

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
