"""The manifest of a staged release: every file with the two digests that a hub may name it by, from one reading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from refute.attest import canonical_json, sha256_hex
from refute.attest.model_manifest import is_left_out
from refute.errors import UnreadableInputError, VerificationError
from refute.spec.experiments.evidence.publication import StagedFile, StagedFrom
from refute.spec.experiments.evidence_files import MANIFEST

_CHUNK = 1 << 20
# What everybody may read, whatever the mask of whoever stages.
_MODE = 0o644
_STAGE_AGAIN = "compare the two; what is published is exactly what was staged, so stage it again if it had to change"


def add_copy(source: Path, folder: Path, path: str, kind: StagedFrom, told: Callable[[int], None]) -> StagedFile:
    """Copy `source` to `path` below `folder` through a buffer of 1 MiB, hashed as it passes; `told` of bytes done."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reading, target.open("wb") as writing:
        found = _passed(reading, source.stat().st_size, path, kind, _both(writing, told))
    target.chmod(_MODE)
    return found


def add_text(text: str, folder: Path, path: str) -> StagedFile:
    """Write a small file that staging makes itself."""
    return add_bytes(text.encode("utf-8"), folder, path)


def add_bytes(data: bytes, folder: Path, path: str) -> StagedFile:
    """As `add_text`, of what is no text."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(_MODE)
    return StagedFile(path=path, size=len(data), sha256=sha256_hex(data), git_sha1=git_sha1(data), source="stage")


def hashed(file: Path, path: str, kind: StagedFrom) -> StagedFile:
    """The file at `file` as it stands in a manifest under `path`. Raises OSError where it cannot be read."""
    with file.open("rb") as reading:
        return _passed(reading, os.fstat(reading.fileno()).st_size, path, kind, lambda _: None)


def git_sha1(data: bytes) -> str:
    """What git calls a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def write_manifest(folder: Path, files: Iterable[StagedFile]) -> None:
    """Write it beside the staged files, sorted by path."""
    rows = sorted(files, key=lambda each: each.path)
    text = "".join(json.dumps(row.as_json(), sort_keys=True) + "\n" for row in rows)
    (folder / MANIFEST.name).write_text(text, encoding="utf-8")


def release_digest(files: Sequence[StagedFile]) -> str:
    """SHA-256 of RFC 8785 of the SHA-256 of each file by its path: changes with every content and every name."""
    return sha256_hex(canonical_json({each.path: each.sha256 for each in files}))


def check_against(
    folder: Path, files: Sequence[StagedFile], told: Callable[[int], None] = lambda _: None, *, what: str = ""
) -> None:
    """Hash what lies below `folder` once; `what` that is, for messages.

    Raises VerificationError for a file that is missing, surplus or another, and for a link.
    """
    listed, what = {each.path: each for each in files}, what or str(folder)
    # What git and the hub's own tools leave there is no part of a model, unless it was staged.
    found = {path for path in _paths(folder) if path in listed or not is_left_out(path)}
    for path in sorted(listed.keys() ^ found):
        fault = "is not there, and the manifest lists it" if path in listed else "is there, and in no manifest"
        raise VerificationError(f"{what}: {path} {fault}", hint=_STAGE_AGAIN)
    for path, each in sorted(listed.items()):
        if (there := hashed(folder / path, path, each.source)) != each:
            message = f"{what}: {path} has the SHA-256 {there.sha256}, and what was staged has {each.sha256}"
            raise VerificationError(message, hint=_STAGE_AGAIN)
        told(each.size)


def files_below(folder: Path) -> list[str]:
    """The files of a folder that are part of a model, by their paths, sorted. Raises VerificationError for a link."""
    return [path for path in _paths(folder) if not is_left_out(path)]


def _paths(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise VerificationError(f"{path} is a symbolic link", hint="stage the release again")
        if path.is_file():
            yield path.relative_to(folder).as_posix()
        elif not path.is_dir():
            raise UnreadableInputError(
                f"{path} is neither a file nor a folder", hint="take it away, or stage the release again"
            )


def _passed(
    reading: IO[bytes], size: int, path: str, kind: StagedFrom, hand_on: Callable[[bytes], object]
) -> StagedFile:
    """What the manifest says of a stream of `size` bytes, each piece of which is handed on. Raises OSError."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    read = 0
    while piece := reading.read(_CHUNK):
        sha256.update(piece)
        sha1.update(piece)
        read += len(piece)
        hand_on(piece)
    if read != size:
        raise OSError(f"{path} had {size} bytes, and {read} were read: it changed meanwhile")
    return StagedFile(path=path, size=size, sha256=sha256.hexdigest(), git_sha1=sha1.hexdigest(), source=kind)


def _both(writing: IO[bytes], told: Callable[[int], None]) -> Callable[[bytes], None]:
    def hand_on(piece: bytes) -> None:
        writing.write(piece)
        told(len(piece))

    return hand_on
