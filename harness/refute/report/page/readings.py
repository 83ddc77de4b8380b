"""Every measurement beside the bar that the signed specification sets for it, and what the controls measured there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refute.errors import SpecError
from refute.judge.predicate.model import Predicate
from refute.outcome import ControlResult, Measurement, Outcome, Record
from refute.spec.bars.threshold import Bar, Threshold, decide
from refute.spec.criteria import FalsifierUse, attacks, parse_spec

Uses = Mapping[tuple[str, str, str], FalsifierUse]
_UP, _DOWN = (">", ">="), ("<", "<=")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a control, an input whose outcome is known, measured under the same name."""

    name: str
    expected: Outcome
    value: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement against its bar: `outcome` is what the bar alone makes of it."""

    falsifier: str
    measurement: Measurement
    bar: Bar
    outcome: Outcome
    controls: tuple[Mark, ...]

    @property
    def margin(self) -> float:
        """How far the value is beyond its bar, in its unit: positive on the side that holds."""
        off = self.measurement.value - self.bar.value
        return off if self.bar.operator in _UP else -off if self.bar.operator in _DOWN else -abs(off)

    @property
    def distance(self) -> float | None:
        """The margin in widths of its interval; None without an interval that has a width."""
        between = self.measurement.interval
        width = 0.0 if between is None else between.high - between.low
        return self.margin / width if 0 < width < math.inf else None


def uses_in(predicate: Predicate) -> Uses:
    """How each criterion is attacked, by spec, criterion and falsifier; nothing of a spec that cannot be read."""
    found: dict[tuple[str, str, str], FalsifierUse] = {}
    for text in predicate.specs:
        try:
            spec = parse_spec(text.text, text.name)
        except SpecError:
            continue
        found |= {(spec.spec, criterion.id, use.id): use for _, criterion, use in attacks([spec])}
    return found


def readings_of(records: Iterable[Record], uses: Uses) -> tuple[Reading, ...]:
    """Every measurement of `records` for which there is a bar, in the order recorded."""
    return tuple(
        _reading(record, measured, uses[record.key].thresholds[measured.name].parsed())
        for record in records
        if record.key in uses
        for measured in record.measurements
        if measured.name in uses[record.key].thresholds
    )


def _reading(record: Record, measured: Measurement, threshold: Threshold) -> Reading:
    outcome, _ = decide(measured, threshold)
    marks = tuple(_marks(record.controls, measured.name))
    return Reading(record.falsifier, measured, threshold.holds_if, outcome, marks)


def _marks(controls: Iterable[ControlResult], name: str) -> Iterable[Mark]:
    for control in controls:
        for measured in control.measurements:
            if measured.name == name and math.isfinite(measured.value):
                yield Mark(control.name, control.expected, measured.value)


def telling(readings: Iterable[Reading]) -> Reading | None:
    """The one to show: the worst by outcome, of those the closest to its bar, with an interval before without."""
    return min(readings, key=_telling, default=None)


def _telling(reading: Reading) -> tuple[int, bool, float]:
    distance = reading.distance
    return -reading.outcome.rank, distance is None, distance if distance is not None else 0.0
