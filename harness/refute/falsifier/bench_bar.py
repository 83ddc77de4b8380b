"""The bar of one measurement, as a control sees it: which values stand on its right side, which on its wrong one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from refute.errors import UnbarredError, UntestableBarError
from refute.outcome import Interval, Measurement, Outcome
from refute.spec.bars.sequential import Design
from refute.spec.bars.threshold import Threshold, decide

UNTESTABLE = "choose a bar that a measurement can clear and can miss: a check counts only if it can fail"


@dataclass(frozen=True, slots=True)
class BenchBar:
    """What the use under test demands of `measurement`; nothing, without a `threshold`.

    `design` is the sequential test that it is decided by, where one is declared.
    """

    measurement: str
    threshold: Threshold | None = None
    design: Design | None = None

    def __str__(self) -> str:
        return f"`{self.measurement}: {'no bar' if self.threshold is None else self.threshold.holds_if}`"

    @property
    def bound(self) -> float:
        """The number of the bar, in its unit. Raises UnbarredError where there is none."""
        return self._demanded().holds_if.value

    def outcome(self, value: float, interval: Interval | None = None) -> Outcome:
        """What a measurement of `value` comes to under this bar; without a bar, whatever it is stands."""
        if self.threshold is None:
            return Outcome.CORROBORATED
        found = Measurement(self.measurement, value, self.threshold.holds_if.unit, n=1, interval=interval)
        return decide(found, self.threshold)[0]

    def satisfied_by(self, value: float, interval: Interval | None = None) -> bool:
        """Whether a measurement of `value`, with all of its interval, clears the bar."""
        return self.outcome(value, interval) is Outcome.CORROBORATED

    def holding(
        self,
        *preferred: float,
        low: float = -math.inf,
        high: float = math.inf,
        whole: bool = False,
        clear: bool = False,
        within: float = 0.0,
    ) -> float:
        """The first of `preferred` that clears the bar, or else another value from `low` to `high` that does.

        `whole`: integers only. `clear`: of the others, none that lies on the bar itself, for what is computed from it
        may be rounded. `within`: only a value on whose side of the bar all others lie that are as near to it as that.
        Raises UntestableBarError where no such value clears the bar.
        """
        return self._first(Outcome.CORROBORATED, preferred, low, high, whole=whole, clear=clear, within=within)

    def failing(
        self,
        *preferred: float,
        low: float = -math.inf,
        high: float = math.inf,
        whole: bool = False,
        clear: bool = False,
        within: float = 0.0,
    ) -> float:
        """As `holding`, a value that fails the bar.

        Raises UnbarredError where the use has no bar for this measurement, so that none can be failed: the control does
        not apply to it, and is recorded so.
        """
        return self._first(Outcome.FALSIFIED, preferred, low, high, whole=whole, clear=clear, within=within)

    def room(self, value: float) -> float:
        """How far `value` lies from the bar, in its unit; infinity where there is none."""
        return min((abs(value - corner) for corner in self._corners()), default=math.inf)

    def _first(
        self,
        wanted: Outcome,
        preferred: Iterable[float],
        low: float,
        high: float,
        *,
        whole: bool,
        clear: bool,
        within: float,
    ) -> float:
        others = self._candidates(low, high, whole=whole)
        allowed = [*preferred, *(value for value in others if not (clear and self.room(value) == 0))]
        for value in allowed:
            around = Interval(value - within, value + within, 0.5, "by hand") if within else None
            if low <= value <= high and self.outcome(value, around) is wanted:
                return int(value) if whole else value
        if wanted is Outcome.FALSIFIED:
            self._demanded()
        verb = "cannot hold" if wanted is Outcome.CORROBORATED else "cannot fail"
        kind = f"{'whole ' * whole}value from {low:g} to {high:g}{' that is not the bound' * clear}"
        kind += f", give or take {within:g}," if within else ""
        raise UntestableBarError(f"the bar {self} {verb}: there is no {kind} for it", hint=UNTESTABLE)

    def _demanded(self) -> Threshold:
        if self.threshold is None:
            raise UnbarredError(
                f"this use has no bar for {self.measurement}", hint="without a bar, nothing about it can fail"
            )
        return self.threshold

    def _corners(self) -> list[float]:
        """Where the outcome may change."""
        if self.threshold is None:
            return []
        bars = (self.threshold.holds_if, self.threshold.inconclusive_if)
        return sorted({bar.value for bar in bars if bar is not None})

    def _candidates(self, low: float, high: float, *, whole: bool) -> Iterator[float]:
        """Values from every stretch on which the outcome is constant, those in the middle of one first."""
        corners = [corner for corner in self._corners() if low <= corner <= high]
        if not corners:
            corners = [min(max(corner, low), high) for corner in self._corners()[:1] or [0.0]]
        below = corners[0] - max(1.0, abs(corners[0]))
        above = corners[-1] + max(1.0, abs(corners[-1]))
        points = [max(low, below), *corners, min(high, above)]
        middles = [left / 2 + right / 2 for left, right in pairwise(points)]
        beside = [
            corner + way if whole else math.nextafter(corner, way * math.inf)
            for corner in corners
            for way in (-1.0, 1.0)
        ]
        for value in (*middles, *points, *beside):
            if math.isfinite(value):
                yield from (math.floor(value), math.ceil(value)) if whole else (value,)
