"""Which of two demands is the stricter: bars, severities, run classes, excuses. Pure comparisons."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from refute.outcome import Measurement, Outcome, RunClass, Severity
from refute.promise import Direction
from refute.spec import Constant
from refute.threshold import Threshold, decide

# From least to most demanding.
_SEVERITIES = (Severity.INFO, Severity.WARN, Severity.BLOCK)
_OUTCOMES = (Outcome.FALSIFIED, Outcome.INCONCLUSIVE, Outcome.CORROBORATED)


def compare_bars(old: Threshold, new: Threshold) -> Direction:
    """`looser` when `new` is kinder to some value and harsher to none; both at once, or another unit, is `changed`.

    Kinder: a value that `old` falsifies is left open, or one that it does not corroborate is corroborated.
    Exact: outcomes are compared at each bar and at the numbers next to it, and are constant in between.
    """
    if old.holds_if.unit != new.holds_if.unit:
        return Direction.CHANGED
    steps = [_kindness(value, new, old) for value in probes(old, new)]
    return _direction(looser=any(step > 0 for step in steps), tighter=any(step < 0 for step in steps))


def compare_severities(old: Severity, new: Severity) -> Direction:
    """A criterion that blocks demands more than one that warns, and that one more than one that is only shown."""
    return _by_rank(_SEVERITIES.index(old), _SEVERITIES.index(new))


def compare_run_classes(old: RunClass | None, new: RunClass | None) -> Direction:
    """A larger run demands more; None demands none in particular."""
    order = [None, *RunClass]
    return _by_rank(order.index(old), order.index(new))


def compare_timeouts(old: float, new: float) -> Direction:
    """Less time demands more, for a falsifier that is stopped never passes; more time demands the same."""
    return Direction.TIGHTER if new < old else Direction.NEUTRAL


def compare_excuses(old: Mapping[str, Constant | None], new: Mapping[str, Constant | None]) -> Direction:
    """A criterion that may be excused demands less than one that never is; which of two excuses does, nobody knows."""
    return Direction.TIGHTER if not new else Direction.CHANGED if old else Direction.LOOSER


def _by_rank(old: int, new: int) -> Direction:
    return _direction(looser=new < old, tighter=new > old)


def _direction(*, looser: bool, tighter: bool) -> Direction:
    if looser:
        return Direction.CHANGED if tighter else Direction.LOOSER
    return Direction.TIGHTER if tighter else Direction.NEUTRAL


def _kindness(value: float, new: Threshold, old: Threshold) -> int:
    """Above 0 where `new` is kinder to `value`, below 0 where it is harsher.

    `holds_if` is compared on its own as well: an interval is held against it alone.
    """
    outcomes = _rank(value, new) - _rank(value, old)
    return outcomes or new.holds_if.holds(value) - old.holds_if.holds(value)


def _rank(value: float, threshold: Threshold) -> int:
    return _OUTCOMES.index(outcome_at(value, threshold))


def outcome_at(value: float, threshold: Threshold) -> Outcome:
    """What a measurement of exactly `value`, in the unit of the bar, comes to."""
    return decide(Measurement("probe", value, threshold.holds_if.unit, n=1), threshold)[0]


def probes(*thresholds: Threshold) -> Sequence[float]:
    """One value from every stretch on which the outcomes are constant: each bar, and both its neighbours."""
    bars = [bar for each in thresholds for bar in (each.holds_if, each.inconclusive_if) if bar is not None]
    beside = [math.nextafter(bar.value, way) for bar in bars for way in (-math.inf, math.inf)]
    return [*(bar.value for bar in bars), *(value for value in beside if abs(value) <= sys.float_info.max)]
