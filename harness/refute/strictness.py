"""Which of two demands is the stricter: bars, severities, run classes, time limits, excuses, dates. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from refute.bar_change import compare_bars, direction_of
from refute.outcome import RunClass, Severity
from refute.promise import Direction
from refute.spec import Constant, ThresholdText

# From least to most demanding.
_SEVERITIES = (Severity.INFO, Severity.WARN, Severity.BLOCK)


def compare_thresholds(old: ThresholdText, new: ThresholdText) -> Direction:
    """As `compare_bars`; `changed` where another sequential test decides: another chance of error, looks or order."""
    if old.sequential != new.sequential:
        return Direction.CHANGED
    return compare_bars(old.parsed(), new.parsed())


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
    """All conditions of an excuse must be met, so each more excuses fewer releases; none at all excuses none."""
    if not old or not new:
        return direction_of(looser=bool(new), tighter=bool(old))
    # By their spelling: true and 1 are equal, and are two conditions.
    before, after = ({(key, repr(value)) for key, value in excuse.items()} for excuse in (old, new))
    return direction_of(looser=bool(before - after), tighter=bool(after - before))


def compare_dates(old: str | None, new: str | None) -> Direction:
    """An ISO date from which a criterion blocks: a later one demands less; None is from the beginning."""
    return direction_of(looser=(new or "") > (old or ""), tighter=(new or "") < (old or ""))


def _by_rank(old: int, new: int) -> Direction:
    return direction_of(looser=new < old, tighter=new > old)
