"""The terminal of a gate run: where progress is shown, with pytest's capture out of the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from refute.gate.progress import Progress
from refute.judge.run.folder import RunFolder
from refute.output import columns, fill_closed_streams, lossy


def progress_on_terminal() -> Progress:
    """Progress on standard output: live where it is a terminal that can rewrite a line, plain lines elsewhere."""
    out = lossy(sys.stdout)
    live = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Progress(out, live=live, width=columns(out))


def progress_in_file(run: RunFolder) -> Progress:
    """Progress in the run's folder, for workers of xdist: their standard output belongs to the controller."""
    return Progress(lossy((run.path / "progress.log").open("a", encoding="utf-8")), live=False)


@contextmanager
def capture_off(config: pytest.Config) -> Iterator[None]:
    """Let what is printed inside reach the console, whatever pytest captures."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    with manager.global_and_fixture_disabled() if manager is not None else nullcontext():
        fill_closed_streams()  # pytest puts back what it found
        yield
