"""Writing where the disk may be full: whole files at once or not at all, rows one by one, and one error for both."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from refute.errors import ExperimentError


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file at `path`, or leave that as it is. Raises ExperimentError."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise unwritable(path, error) from error


def replace_file(path: Path, data: bytes) -> None:
    """The same for callers with an error of their own: raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


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


def create_file(path: Path, data: bytes, mode: int) -> bool:
    """Put a complete file at `path` unless something is there; return whether it was put. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        # A hard link, unlike a rename, fails where the name is taken.
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link `source` at `target`, or copy where the file system cannot; replaces what was there."""
    staged = target.with_name(f".{target.name}.{os.getpid()}.part")
    staged.unlink(missing_ok=True)
    try:
        os.link(source, staged)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copyfile(source, staged)
    staged.replace(target)
    staged.unlink(missing_ok=True)  # rename(2) leaves the old name when both are links to one file
