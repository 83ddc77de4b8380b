"""A judge's own copies of specifications and releases, held against the texts that a run says it was asked by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from refute.disk import file_sha256
from refute.errors import UsageError
from refute.spec.selection import is_yaml
from refute.spec.texts import ReleaseText, SpecText
from refute.spec.yaml.kinds import require_asking


def unknown_texts(texts: Iterable[SpecText | ReleaseText], copies: Sequence[Path] | None) -> tuple[str, ...]:
    """A sentence for each text of a run that is no copy, byte for byte, of a file in `copies`; with None, of nothing.

    A folder stands for every YAML file below it. Raises UsageError for a path that cannot be read.
    """
    if copies is None:
        return ()
    known = _by_digest(copies)
    return tuple(
        f"the run was asked by {text.id} with SHA-256 {text.sha256}, which is none of the judge's own files"
        for text in texts
        if text.sha256 not in known
    )


def require_copies(copies: Sequence[Path]) -> None:
    """Raises UsageError for a path at which there is nothing, or a folder without specs and releases; SpecError for a
    file that is neither. What was mistyped must not become a signed NO-GO."""
    for path in copies:
        if not path.exists():
            raise UsageError(f"there is nothing at {path}", hint="--specs names your own specs and releases")
        if not _files(path):
            raise UsageError(f"{path} holds no specs or releases", hint="--specs names files of yours, or their folder")
        if path.is_file():
            require_asking(path)


def own_copy(sha256: str, copies: Sequence[Path]) -> Path | None:
    """The file in `copies` with this digest, if there is one. Raises UsageError for a path that cannot be read."""
    return _by_digest(copies).get(sha256)


def _by_digest(copies: Sequence[Path]) -> dict[str, Path]:
    try:
        return {file_sha256(file): file for path in copies for file in _files(path)}
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if is_yaml(file) and file.is_file())
    return [path]
