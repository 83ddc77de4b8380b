"""What commands print: JSON and verdicts, progress on standard error; and their orderly end on a signal."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from refute.errors import UnwritableError
from refute.gate.progress import Progress
from refute.job import ProgressCallback, Stop
from refute.output import columns, refusal

if TYPE_CHECKING:
    from rich.console import Console

    from refute.judge.predicate.model import Predicate


def print_document(text: str) -> None:
    """Print what a program may read, to the last byte. Raises UnwritableError where not all of it could be written.

    A reader that closes the pipe has read enough.
    """
    typer.echo(text, nl=False)
    if (lost := refusal(sys.stdout)) is not None:
        raise UnwritableError(
            f"standard output cannot be written: {lost.strerror}", hint="make room, or send it somewhere else"
        )


def print_json(content: object, *, sort_keys: bool = False) -> None:
    """Print `content` on standard output as JSON for programs: what `--json` promises. Raises as `print_document`."""
    print_document(f"{json.dumps(content, indent=1, sort_keys=sort_keys)}\n")


def rich_console() -> Console:
    """Standard output for tables and colour: as wide as it is, with boxes that its encoding has."""
    from rich.console import Console

    return Console(file=sys.stdout, width=columns(sys.stdout))


def print_verdict(predicate: Predicate, payload_sha256: str) -> None:
    """Print a verdict for people: the terminal report."""
    from refute.report import render_terminal

    render_terminal(predicate, payload_sha256, rich_console())


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[ProgressCallback]:
    """A report that shows progress: one live line on a terminal, plain lines elsewhere, nothing if `quiet`."""
    if quiet:
        yield lambda *_: None
        return
    shown = Progress(sys.stderr, sys.stderr.isatty(), columns(sys.stderr))
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
