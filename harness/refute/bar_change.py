"""Two versions of a bar: is the newer one easier to clear, harder, the same, or neither? Exact over the reals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from refute.outcome import Interval, Measurement
from refute.promise import Direction
from refute.threshold import Bar, Threshold, decide


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
