"""The console of a run that may take long: where progress goes, and the orderly end that a signal asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from refute.cli.console import progress, signals
from refute.errors import StoppedError
from refute.job import ProgressCallback, Stop

_NOTICE = "stopping after what runs now"


@dataclass(frozen=True, slots=True)
class RunConsole:
    """The console while a run is under way: where progress goes, and whether a signal asked for the end."""

    report: ProgressCallback
    stop: Stop
    out: Path

    def check_stop(self) -> None:
        """Raise StoppedError once a signal came."""
        if self.stop():
            raise self.stopped(f"finished samples are kept in {self.out}")

    def stopped(self, kept: str) -> StoppedError:
        """The orderly end that a signal asked for, and what is `kept`."""
        return StoppedError(f"stopped; {kept}", self.stop.signal, hint="the same command goes on from there")


@contextmanager
def run_console(out: Path) -> Iterator[RunConsole]:
    """Progress on the console, and signals taken as requests to stop, for a run in the folder `out`."""
    stop = Stop()
    with signals(stop, _NOTICE), progress() as report:
        yield RunConsole(report, stop, out)
