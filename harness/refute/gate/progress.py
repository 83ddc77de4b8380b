"""Progress of experiments on a console: one line rewritten in place on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from refute.errors import RefuteError
from refute.job import Fact

if TYPE_CHECKING:  # `refute --help` reaches this module, and need not load what experiments need
    from refute.evidence.experiment import Experiment

_BAR = 20

# Often enough to see life, rarely enough for a CI log.
PLAIN_INTERVAL_S = 10.0
LIVE_INTERVAL_S = 0.1


class Out(Protocol):
    """Where text goes; `flush` makes it visible at once."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


@dataclass(slots=True)
class Progress:
    """A Watcher that writes to `out`. `live` means a terminal of `width` columns that understands `\\r`."""

    out: Out
    live: bool
    width: int = 100
    _label: str = ""
    _shown_at: float = 0.0
    _stage: str = ""
    _stage_began: float = 0.0
    _stage_first: int = 0
    _open_line: bool = False
    _begun: bool = True

    def begin(self) -> None:
        """The next text starts on a line of its own: somebody else may have left the cursor inside one."""
        self._begun = False

    def started(self, experiment: Experiment, step: int, total: int) -> None:
        """A new experiment: number `step` of `total`."""
        self._label = f"[{step}/{total}] {experiment.title}"
        self._stage, self._shown_at = "", 0.0
        self._line(self._label + " …")

    def waiting(self, experiment: Experiment) -> None:
        """Another process is running the same experiment."""
        self._line(f"waiting for another run that is busy with: {experiment.title}")

    def progressed(self, stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        """Show `step` of `total`, the facts, and the time left at the pace of this stage so far."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_began, self._stage_first = stage, now, step
        interval = LIVE_INTERVAL_S if self.live else PLAIN_INTERVAL_S
        if now - self._shown_at < interval and step < total:
            return
        self._shown_at = now
        text = f"{stage} {step}/{total}{_facts(facts)}{self._time_left(step, total, now)}"
        if self.live:
            self._rewrite(f"  {_bar(step, total)} {text}")
        else:
            self._line(f"  {text}")

    def finished(self, experiment: Experiment, seconds: float) -> None:
        """The experiment's evidence is in the store."""
        self._line(f"  done in {seconds:.0f} s: {experiment.title}")

    def reused(self, experiment: Experiment) -> None:
        """Its evidence was in the store already."""
        self._line(f"cached: {experiment.title}")

    def failed(self, experiment: Experiment, error: RefuteError) -> None:
        """It ended without evidence."""
        self._line(f"  FAILED: {experiment.title}: {error}" + (f"\n  {error.hint}" if error.hint else ""))

    def close(self) -> None:
        """Leave a rewritten line behind."""
        if self._open_line:
            self.out.write("\n")
            self._open_line = False
        self.out.flush()

    def _time_left(self, step: int, total: int, now: float) -> str:
        done = step - self._stage_first
        if done < 1 or step >= total:
            return ""
        seconds = (now - self._stage_began) / done * (total - step)
        return f"  {int(seconds) // 60}:{int(seconds) % 60:02d} left"

    def _rewrite(self, text: str) -> None:
        self._start_line()
        width = max(1, self.width - 1)
        self.out.write("\r" + text[:width].ljust(width))
        self.out.flush()
        self._open_line = True

    def _start_line(self) -> None:
        if not self._begun:
            self.out.write("\n")
            self._begun = True

    def _line(self, text: str) -> None:
        self._start_line()
        if self._open_line:
            self.out.write("\r" + " " * max(1, self.width - 1) + "\r")
            self._open_line = False
        self.out.write(text + "\n")
        self.out.flush()


def _bar(step: int, total: int) -> str:
    filled = _BAR * step // max(total, 1)
    return "#" * filled + "." * (_BAR - filled)


def _facts(facts: Mapping[str, Fact]) -> str:
    return "".join(
        f"  {name} {value:.4g}" if isinstance(value, float) else f"  {name} {value}" for name, value in facts.items()
    )
