"""Ctrl-C (SIGINT), remembered beside being raised: whoever hands work over, or signs, asks here.

Python drops what is raised in a finalizer, an import hook or a callback of C code, and others catch it and go on.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_heard = False


@contextmanager
def remembering() -> Iterator[None]:
    """Until the end, `heard` answers for every SIGINT since the start, and each still does what it did before.

    Only the main thread can listen, and only where SIGINT does something; elsewhere nothing changes.
    """
    global _heard
    before, outside = signal.getsignal(signal.SIGINT), _heard
    if not callable(before):
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        global _heard
        _heard = True
        before(number, frame)

    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread
        yield
        return
    _heard = False
    try:
        yield
    finally:
        _heard = outside
        signal.signal(signal.SIGINT, before)


def heard() -> bool:
    """Whether a Ctrl-C came, whatever became of it."""
    return _heard


def check() -> None:
    """Raises KeyboardInterrupt once more if one came."""
    if _heard:
        raise KeyboardInterrupt
