"""Text for whoever reads along: spelt in what can be shown, and lost where it cannot be written. It never raises.

A progress line must not end an experiment, nor a closed pipe a verdict: what a process prints decides nothing.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TextIO

_READABLE = "refute.readable"

# What refute itself writes beyond ASCII, for a console that cannot show it; anything else becomes an escape.
_SPELLINGS = {"…": "...", "✓": "+", "✗": "x", "○": "o", "→": "->", "≤": "<=", "≥": ">="}
_STANDARD_ERROR = 2

# Columns of a console that does not say how wide it is, and the fewest that text is wrapped to.
_USUAL_WIDTH, NARROWEST = 80, 20


class LossyDescriptor(io.RawIOBase):
    """A file descriptor that takes all bytes; what the system refuses is dropped. Closing it leaves it open.

    `refusal` is the first error that somebody should know: a reader that went away (EPIPE) had read enough.
    """

    def __init__(self, descriptor: int, owner: object = None) -> None:
        self._descriptor = descriptor
        self._owner = owner  # the stream that would close the descriptor when nobody holds it
        self.refusal: OSError | None = None

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: object, /) -> int:
        """Write everything, or as much as the system takes; returns the length of `data` either way."""
        left = memoryview(data).cast("B")  # type: ignore[arg-type]  # any buffer, which has no type before 3.12
        length = len(left)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError as error:
            if error.errno != errno.EPIPE and self.refusal is None:
                self.refusal = error
        return length

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody made the pipe non-blocking, and its reader is slow
            select.select([], [self._descriptor], [])
            return 0


def lossy(stream: TextIO | None) -> TextIO:
    """`stream`, but it never raises: what its encoding lacks is spelt out, what cannot be written is lost.

    Nothing is buffered, so nothing is left to fail when the process ends. A stream that is no file is returned as it
    is. None, which was closed before the start, takes everything, too.
    """
    _fill_standard_descriptors()
    if stream is None:
        return _text(LossyDescriptor(os.open(os.devnull, os.O_WRONLY)), "utf-8")
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError, AttributeError):
        return stream
    return _text(LossyDescriptor(descriptor, stream), stream.encoding or "utf-8")


def fill_closed_streams() -> None:
    """Something to write into in the place of a standard stream that was closed before the start: None has no flush."""
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()


@cache
def _nowhere() -> TextIO:
    return lossy(None)


def _fill_standard_descriptors() -> None:
    """The null device in the place of each that is closed: else the next file opened would get what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _text(raw: LossyDescriptor, encoding: str) -> TextIO:
    return io.TextIOWrapper(raw, encoding, _READABLE, write_through=True)  # type: ignore[type-var]  # raw, but whole


@contextmanager
def lossy_output() -> Iterator[None]:
    """Make standard output and error of this process lossy."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = lossy(sys.stdout), lossy(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def refusal(stream: TextIO) -> OSError | None:
    """Why something that was written to a lossy stream is lost; None where all of it arrived or its reader left."""
    raw = getattr(stream, "buffer", None)
    return raw.refusal if isinstance(raw, LossyDescriptor) else None


def readable(text: str, encoding: str) -> str:
    """`text` as a lossy stream of that encoding shows it: wrap this, and lines keep their width."""
    return text.encode(encoding, _READABLE).decode(encoding)


def columns(stream: TextIO | None) -> int:
    """The width of the console that `stream` writes to, at least NARROWEST: $COLUMNS, or what the terminal says."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told):
        return max(int(told), NARROWEST)
    if stream is None:
        return _USUAL_WIDTH
    try:
        return max(os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH, NARROWEST)
    except (OSError, ValueError):
        return _USUAL_WIDTH


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLINGS.get(each) or _escaped(each) for each in lacking), error.end


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(_READABLE, _spell)
