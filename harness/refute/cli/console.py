"""What commands print: JSON and verdicts, progress on standard error; and their orderly end on a signal."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from refute.gate.progress import Progress
from refute.job import ProgressCallback, Stop

if TYPE_CHECKING:
    from refute.judge.predicate.model import Predicate


def print_json(content: object, *, sort_keys: bool = False) -> None:
    """Print `content` on standard output as JSON for programs: what `--json` promises."""
    typer.echo(json.dumps(content, indent=1, sort_keys=sort_keys))


def print_verdict(predicate: Predicate, payload_sha256: str) -> None:
    """Print a verdict for people: the terminal report."""
    from rich.console import Console

    from refute.report import render_terminal

    render_terminal(predicate, payload_sha256, Console())


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[ProgressCallback]:
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
