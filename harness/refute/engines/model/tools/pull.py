"""Fetches a model by its commit into a folder of its own, hashes every byte, and says what it would be as a teacher."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refute.disk import file_sha256, writing
from refute.engines.model.tools.inspect import Inspection, inspect_model
from refute.errors import DigestMismatchError, ExperimentError, UnreadableInputError, UsageError

# float32, and as much again for what a forward of a few thousand positions holds.
_BYTES_A_PARAMETER = {"float32": 4, "bfloat16": 2}
_WORKING_ROOM = 1.2


@dataclass(frozen=True, slots=True)
class Selection:
    """A model that was pulled, and what speaks for or against it as a teacher.

    `memory` in bytes by dtype; `vocabulary_fault`: why the init cannot learn from it, None where it can or none is
    named.
    """

    model: Inspection
    files: int
    memory: dict[str, int]
    vocabulary_fault: str | None


def pull_model(repo: str, commit: str, into: Path) -> Path:
    """The files of that commit in `into`, each with the digest that the hub states (SHA-256, or git's SHA-1).

    They are fetched and checked beside `into`, which is there only when all of them are right. Raises UsageError where
    `into` is not empty, UnreadableInputError where the hub does not give them, DigestMismatchError, naming the file,
    for bytes that are not the ones that were promised, and UnwritableError for a full disk.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty", hint="name a new folder: what lies there would be taken for the model")
    draft = into.with_name(f".{into.name}.{os.getpid()}.part")
    try:
        with writing(into):
            draft.mkdir(parents=True)
        check_pulled(draft, _fetch(repo, commit, draft))
        with writing(into):
            draft.replace(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return into


def _fetch(repo: str, commit: str, into: Path) -> Sequence[Any]:
    """Bring the files, and return what the hub states of each."""
    from httpx2 import HTTPError  # what the client lets through of a network that is gone
    from huggingface_hub import HfApi  # slow to import

    hub = HfApi()
    try:
        stated = list(hub.list_repo_tree(repo, revision=commit, recursive=True))
        hub.snapshot_download(repo, revision=commit, local_dir=into)
    except (HTTPError, OSError, ValueError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnreadableInputError(
            f"{repo}@{commit} cannot be fetched: {why}", hint="check name, network and HF_TOKEN"
        ) from error
    return stated


def check_pulled(folder: Path, stated: Sequence[Any]) -> None:
    """Hash every file in `folder` that a hub states. Raises DigestMismatchError for the first that is another."""
    for entry in stated:
        if hasattr(entry, "size"):  # folders have none
            _verify(folder / entry.path, entry)


def _verify(path: Path, entry: Any) -> None:
    if not path.is_file():
        raise DigestMismatchError(f"{path} was promised by the hub, and did not arrive", hint="pull it again")
    found = file_sha256(path) if entry.lfs else _git_sha1(path)
    if found != (expected := entry.lfs.sha256 if entry.lfs else entry.blob_id):
        raise DigestMismatchError(
            f"{path} has digest {found}, the hub says {expected}", hint="it changed on the way: pull it again"
        )


def _git_sha1(path: Path) -> str:
    data = path.read_bytes()  # git keeps small files alone
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def select_teacher(path: Path, init: Path | None) -> Selection:
    """What the model at `path` is and needs, and whether `init` means the same tokens. Raises as `inspect_model`."""
    found = inspect_model(path)
    memory = {name: int(found.parameters * size * _WORKING_ROOM) for name, size in _BYTES_A_PARAMETER.items()}
    files = sum(each.is_file() for each in path.rglob("*")) if path.is_dir() else 1
    return Selection(found, files, memory, None if init is None else _vocabulary_fault(path, init))


def _vocabulary_fault(teacher: Path, init: Path) -> str | None:
    from refute.engines.model.tokenizer import read_tokenizer
    from refute.engines.model.vocabulary import refuse_other_vocabulary

    sides: list[Any] = []
    for path in (init, teacher):
        rows = inspect_rows(path)
        sides += [rows, read_tokenizer(path, gguf=path.is_file())]
    try:
        refuse_other_vocabulary(*sides)
    except ExperimentError as error:
        return str(error)
    return None


def inspect_rows(path: Path) -> int:
    """Rows of the embedding. Raises UnreadableInputError where nothing says how many."""
    from refute.engines.model.tools.stored import open_stored

    stored = open_stored(path)
    for name, tensor in stored.tensors.items():
        if name.endswith(("embed_tokens.weight", "token_embd.weight")):
            return tensor.shape[0]
    raise UnreadableInputError(f"{path} holds no embedding", hint="name a language model")
