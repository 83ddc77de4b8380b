"""Writing where the disk may be full: whole files at once or not at all, rows one by one, and one error for both."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from refute.errors import ExperimentError


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file at `path`, or leave that as it is. Raises ExperimentError."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def append(stream: IO[bytes], path: Path, line: bytes) -> None:
    """Hand `line` to the operating system through a stream without buffer. Raises ExperimentError."""
    try:
        written = stream.write(line)
    except OSError as error:
        raise unwritable(path, error) from error
    if written != len(line):
        raise unwritable(path, OSError(f"{written} of {len(line)} bytes were taken"))


def unwritable(path: Path, error: OSError) -> ExperimentError:
    """Why `path` cannot be written, and that nothing finished is lost."""
    return ExperimentError(
        f"cannot write {path}: {error.strerror or error}",
        hint="make room or name another place, then run the same command again: what is finished is kept",
    )
