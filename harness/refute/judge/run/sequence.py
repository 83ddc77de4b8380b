"""Numbers for the verdicts of a release id: each larger than every one before, kept beside the runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from refute.disk import open_to_count
from refute.errors import EvidenceError, UsageError
from refute.spec.fields import MAX_SEQUENCE

FOLDER = ".sequence"
_MOST = 64  # characters: more than a number has


@contextmanager
def next_sequence(runs: Path, release: str, wanted: int | None = None) -> Iterator[int]:
    """The number of the next verdict on `release`, given back when the block ends in an error.

    One more than the last that was given below the folder `runs`, or `wanted`, which must be larger than that one.
    Two judges of one release wait for each other. Raises UsageError for a number already passed, EvidenceError
    when the file that counts cannot be used.
    """
    path = runs / FOLDER / release
    with _opened(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        last = _last(path, handle.read(_MOST))
        number = last + 1 if wanted is None else wanted
        if not last < number <= MAX_SEQUENCE:
            raise UsageError(
                f"sequence {number} is not above {last}, the last verdict on {release!r}",
                hint=f"leave --sequence out, or give a number from {last + 1} to {MAX_SEQUENCE}",
            )
        # Before the verdict exists: a process that is killed leaves a gap, and never a number to be given twice.
        _write(handle, number)
        try:
            yield number
        except BaseException:
            _write(handle, last)
            raise


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = opened.enter_context(open_to_count(path))
        except OSError as error:
            raise EvidenceError(
                f"cannot count verdicts in {path}: {error.strerror or error}",
                hint="make it a file that can be written, or delete it and give --sequence",
            ) from error
        yield handle


def _write(handle: TextIO, number: int) -> None:
    """In place, and not by rename: whoever waits for the lock holds this very file."""
    handle.seek(0)
    handle.truncate()
    handle.write(f"{number}\n")
    handle.flush()
    os.fsync(handle.fileno())


def _last(path: Path, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.strip().isdigit() and len(text) < 20):
        raise EvidenceError(
            f"{path} should hold the number of the last verdict, found {text[:40]!r}",
            hint="write the last number into it, or delete it and give --sequence",
        )
    return int(text)
