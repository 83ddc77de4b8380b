"""What commands that work for long share: progress on the standard error stream, and an orderly end on a signal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from refute.gate.progress import Progress
from refute.job import Report, Stop


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Report]:
    """A report that shows progress: one live line on a terminal, plain lines elsewhere, nothing if `quiet`."""
    if quiet:
        yield lambda *_: None
        return
    shown = Progress(sys.stderr, sys.stderr.isatty())
    try:
        yield shown.progressed
    finally:
        shown.close()


@contextmanager
def signals(stop: Stop, notice: str = "") -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop` and shows `notice`; a second one ends the process as it always would."""

    def ask(number: int, _: object) -> None:
        stop.signal = number
        signal.signal(number, before[signal.Signals(number)])
        if notice:
            sys.stderr.write(f"\n{notice}; once more stops at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
