"""A judge's own copies of specifications and releases, held against the texts that a run says it was asked by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from refute.errors import UsageError
from refute.evidence import file_sha256
from refute.predicate import ReleaseText, SpecText

_YAML = (".yaml", ".yml")


def strangers(texts: Iterable[SpecText | ReleaseText], copies: Sequence[Path]) -> tuple[str, ...]:
    """A sentence for each text of a run that is no copy, byte for byte, of a file in `copies`.

    A folder stands for every YAML file below it. Raises UsageError for a path that cannot be read.
    """
    try:
        known = {file_sha256(file) for path in copies for file in _files(path)}
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return tuple(
        f"the run was asked by {text.id} with SHA-256 {text.sha256}, which is none of the judge's own files"
        for text in texts
        if text.sha256 not in known
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in _YAML and file.is_file())
    return [path]
