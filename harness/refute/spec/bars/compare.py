"""Which of two demands is the stricter: bars, severities, run classes, time limits, excuses, dates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from refute.outcome import Direction, Interval, Measurement, RunClass, Severity
from refute.spec.bars.text import ThresholdText
from refute.spec.bars.threshold import Bar, Threshold, decide
from refute.spec.criteria import Constant

# From least to most demanding.
_SEVERITIES = (Severity.INFO, Severity.WARN, Severity.BLOCK)


def compare_thresholds(old: ThresholdText, new: ThresholdText) -> Direction:
    """As `compare_bars`; `changed` where another sequential test decides: another chance of error, looks or order."""
    if old.sequential != new.sequential:
        return Direction.CHANGED
    found = {compare_bars(old.parsed(), new.parsed()), compare_floors(old, new)}
    if Direction.CHANGED in found:
        return Direction.CHANGED
    return direction_of(looser=Direction.LOOSER in found, tighter=Direction.TIGHTER in found)


def compare_floors(old: ThresholdText, new: ThresholdText) -> Direction:
    """More observations, in a run of any class, demand more."""
    pairs = [(old.least_n(each), new.least_n(each)) for each in RunClass]
    return direction_of(looser=any(b < a for a, b in pairs), tighter=any(b > a for a, b in pairs))


def compare_severities(old: Severity, new: Severity) -> Direction:
    """A criterion that blocks demands more than one that warns, and that one more than one that is only shown."""
    return _by_rank(_SEVERITIES.index(old), _SEVERITIES.index(new))


def compare_openness(old: str, new: str) -> Direction:
    """A criterion that blocks while it is open demands more than one that then only warns."""
    return _by_rank(["warn", "block"].index(old), ["warn", "block"].index(new))


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


def compare_bars(old: Threshold, new: Threshold) -> Direction:
    """What happens to what is measured when `new` takes the place of `old`.

    `looser`: some measurement ends better (falsified < inconclusive < corroborated) and none worse;
    `tighter`: the reverse; `neutral`: none differs; `changed`: some better and some worse, or another unit.

    Every measurement counts: any value with any interval around it. What `decide` says depends only on how value
    and interval ends lie relative to the numbers of the bars, so one measurement for each such position is enough.
    """
    if old.holds_if.unit != new.holds_if.unit:
        return Direction.CHANGED
    numbers = sorted({bar.value for threshold in (old, new) for bar in _bars(threshold)})
    # Odd places are the numbers themselves, even ones the gaps between and beyond them.
    places = {number: 2 * index + 1 for index, number in enumerate(numbers)}
    before, after = _placed(old, places), _placed(new, places)
    ranks = [
        (decide(each, before)[0].rank, decide(each, after)[0].rank)
        for each in _measurements(2 * len(numbers) + 1, old.holds_if.unit)
    ]
    better, worse = any(b > a for b, a in ranks), any(b < a for b, a in ranks)
    return direction_of(looser=better, tighter=worse)


def direction_of(*, looser: bool, tighter: bool) -> Direction:
    """The direction of a change that is looser in some respect, tighter in some, both or neither."""
    if looser:
        return Direction.CHANGED if tighter else Direction.LOOSER
    return Direction.TIGHTER if tighter else Direction.NEUTRAL


def _bars(threshold: Threshold) -> tuple[Bar, ...]:
    return (
        (threshold.holds_if,) if threshold.inconclusive_if is None else (threshold.holds_if, threshold.inconclusive_if)
    )


def _placed(threshold: Threshold, places: dict[float, int]) -> Threshold:
    """The threshold with every number replaced by its place."""
    holds, *doubt = (replace(bar, value=float(places[bar.value])) for bar in _bars(threshold))
    return Threshold(holds, doubt[0] if doubt else None)


def _measurements(places: int, unit: str) -> Iterator[Measurement]:
    """One measurement for every order of low <= value <= high."""
    for low in range(places):
        for value in range(low, places):
            for high in range(value, places):
                yield Measurement("", value, unit, 1, Interval(low, high, 0.95, ""))
