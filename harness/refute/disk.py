"""Files: read only where they are regular ones, written whole or not at all; one error for what the system refuses."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, TextIO

from refute.errors import RefuteError, UnwritableError, UsageError

# How a file's name ends that is not whole yet; a kill may leave it.
FRESH = ".new"

# Errors of the system that say: what was named to write to is not of the kind that it must be.
_IN_THE_WAY = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# More than any signed file, key or report has; a model is not read through this.
_LARGEST = 64 * 1024 * 1024
_RUN_AGAIN = "make room or name another place, then run the same command again: what is finished is kept"


@contextmanager
def writing(path: Path, *, hint: str = _RUN_AGAIN) -> Iterator[None]:
    """Around code that writes at `path`: turns what the system refuses into `unwritable`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, hint=hint) from error


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Around work of any kind whose results go below `folder`: turns a full or broken disk into `unwritable`, which
    names the file where the system did. What cannot be read stays the error that it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise unwritable(Path(error.filename or folder), error) from error


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file at `path`, or leave that as it is. Raises as `unwritable` says."""
    with writing(path):
        replace_file(path, data)


def replace_file(path: Path, data: bytes) -> None:
    """The same for callers with an error of their own: raises OSError."""
    # A name that nobody knows before, and a file that was not there: who could lay a link or a pipe where it will be
    # written has it written elsewhere, or never ended.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}{FRESH}")
    try:
        with fresh.open("xb") as stream:
            stream.write(data)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def append(stream: IO[bytes], path: Path, line: bytes) -> None:
    """Hand `line` to the operating system through a stream without buffer. Raises as `unwritable` says."""
    with writing(path):
        written = stream.write(line)
    if written != len(line):
        raise unwritable(path, OSError(f"{written} of {len(line)} bytes were taken"))


def unwritable(path: Path, error: OSError, *, hint: str = _RUN_AGAIN) -> RefuteError:
    """Why `path` cannot be written: UsageError where a file lies in the place of a folder, a folder in that of a file,
    or nothing where there must be one of them; UnwritableError for a full, closed or broken disk."""
    kind = UsageError if isinstance(error, _IN_THE_WAY) else UnwritableError
    return kind(f"cannot write {path}: {error.strerror or error}", hint=hint)


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


@contextmanager
def open_to_count(path: Path) -> Iterator[TextIO]:
    """The file at `path`, made if it is not there, to read and to write. Raises OSError for a link, which may lead
    anywhere, and for what is no file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    _require_regular(descriptor, path)
    with os.fdopen(descriptor, "r+", encoding="utf-8", errors="backslashreplace") as stream:
        yield stream


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """The file at `path`, to read. Raises OSError for a folder, a pipe or a device, which might never answer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    _require_regular(descriptor, path)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _require_regular(descriptor: int, path: Path) -> None:
    """Close `descriptor` and raise OSError unless it is a file."""
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        fault = os.strerror(errno.EISDIR) if stat.S_ISDIR(kind) else "it is a pipe or a device, and no file"
        raise OSError(errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL, fault, str(path))


def read_regular(path: Path, limit: int = _LARGEST) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises OSError as `open_regular` does, and for a larger one."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    return data


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as lower-case hex. Raises OSError as `open_regular` does."""
    with open_regular(path) as stream:
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
