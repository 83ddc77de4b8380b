"""Bars and what measurements come to against them: pure comparisons, every doubtful case a named outcome."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refute.outcome import Interval, Measurement, Outcome, worst

_OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}

# Also put into the JSON Schema, so only syntax that ECMA-262 and Python share.
BAR_PATTERN = r"^(<=|>=|==|<|>) *([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?) +([^\s]+)$"
_BAR = re.compile(BAR_PATTERN)
# Farther from the bar than a thousandth of its interval's reach, or a million times as many observations say nothing.
_MOST_TIMES = 1000


@dataclass(frozen=True, slots=True)
class Bar:
    """A comparison with a number in a unit; `str()` gives text that `parse_bar` reads back unchanged."""

    operator: str
    value: float
    unit: str

    def holds(self, value: float) -> bool:
        """Whether `value`, in the bar's unit, satisfies it. Exact: no tolerance is added."""
        return bool(_OPERATORS[self.operator](value, self.value))

    @property
    def amount(self) -> str:
        """Its number as people write it, which reads back unchanged."""
        return repr(self.value).removesuffix(".0")

    def __str__(self) -> str:
        return f"{self.operator} {self.amount} {self.unit}"


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a claim holds, and optionally which values decide nothing at all."""

    holds_if: Bar
    inconclusive_if: Bar | None = None


def parse_bar(text: str) -> Bar:
    """`text` such as "<= 1e-3 logit", "> 0 nat/token" or ">= 15 %" as a Bar.

    Raises ValueError unless it is an operator (< <= > >= ==), a finite decimal number, a space and a
    unit without spaces.
    """
    match = _BAR.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected an operator (< <= > >= ==), a number, a space and a unit, such as"
            f" `<= 1e-3 logit`; found {text!r}"
        )
    value = float(match[2])
    if not math.isfinite(value):
        raise ValueError(f"the number of a bar must be finite; found {text!r}")
    return Bar(match[1], value, match[3])


def decide(measurement: Measurement, threshold: Threshold) -> tuple[Outcome, str]:
    """What `measurement` says about the claim "`threshold.holds_if`", and a sentence that shows why.

    `error` if the measurement is unusable: n < 1, a number that is not finite, another unit, a value
    outside its own interval. Then `inconclusive` if `inconclusive_if` holds for the value. Otherwise
    an interval corroborates only if all of it satisfies the bar and falsifies only if none of it
    does; without an interval the value decides.
    """
    fault = _fault(measurement, threshold)
    if fault:
        return Outcome.ERROR, f"{measurement.name}: {fault}"
    shown = _shown(measurement)
    doubt, bar = threshold.inconclusive_if, threshold.holds_if
    if doubt is not None and doubt.holds(measurement.value):
        return Outcome.INCONCLUSIVE, f"{shown} decides nothing, as declared for {doubt}"
    low, high = _range(measurement)
    every, some = _holds_within(bar, low, high)
    if every:
        return Outcome.CORROBORATED, f"{shown} satisfies {bar}"
    if some:
        return Outcome.INCONCLUSIVE, f"{shown} straddles {bar}{_needed(measurement, bar)}"
    return Outcome.FALSIFIED, f"{shown} {_miss(measurement.value, bar)}"


def decide_all(measurements: Sequence[Measurement], thresholds: Mapping[str, Threshold]) -> tuple[Outcome, str]:
    """The worst of `decide` over all `thresholds`, keyed by measurement name.

    No thresholds, a threshold without its measurement, or two measurements of one name is an `error`.
    The reason names what does not hold, or everything when all holds.
    """
    if not thresholds:
        return Outcome.ERROR, "no thresholds: nothing was decided"
    names = [measurement.name for measurement in measurements]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        return Outcome.ERROR, f"measured more than once: {', '.join(repeated)}"
    by_name = {measurement.name: measurement for measurement in measurements}
    decisions = [
        decide(by_name[name], thresholds[name])
        if name in by_name
        else (Outcome.ERROR, f"{name} was not measured (measured: {', '.join(sorted(names)) or 'nothing'})")
        for name in sorted(thresholds)
    ]
    failing = [reason for outcome, reason in decisions if outcome is not Outcome.CORROBORATED]
    reasons = failing or [reason for _, reason in decisions]
    return worst([outcome for outcome, _ in decisions]), "; ".join(reasons)


def _holds_within(bar: Bar, low: float, high: float) -> tuple[bool, bool]:
    """Whether every point, and whether some point, of [low, high] satisfies `bar`."""
    if bar.operator == "==":
        return low == high == bar.value, low <= bar.value <= high
    # The four orderings are monotone, so the end points speak for all points between them.
    ends = (bar.holds(low), bar.holds(high))
    return all(ends), any(ends)


def _needed(measurement: Measurement, bar: Bar) -> str:
    """About how many observations would decide, were the value to stay: intervals narrow with the root of their number.

    Empty where the value lies on the bar or next to it, so that none would, and for a bar that demands one value.
    """
    interval, distance = measurement.interval, abs(measurement.value - bar.value)
    if interval is None or bar.operator == "==" or distance == 0:
        return ""
    reach = measurement.value - interval.low if measurement.value > bar.value else interval.high - measurement.value
    if reach >= _MOST_TIMES * distance:
        return ""
    needed = measurement.n * (reach / distance) ** 2
    shown = f"{int(float(f'{needed:.2g}')):,}"
    return f"; at this value about {shown} observations would decide, not {measurement.n}"


def _range(measurement: Measurement) -> tuple[float, float]:
    interval = measurement.interval
    if interval is None:
        return measurement.value, measurement.value
    return interval.low, interval.high


def _fault(measurement: Measurement, threshold: Threshold) -> str:
    """Why `measurement` cannot be compared with `threshold`; empty if it can."""
    n: object = measurement.n
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        return f"n = {n!r}, expected at least 1 observation"
    if not _is_finite(measurement.value):
        return f"value {measurement.value!r} is not a finite number"
    for bar in (threshold.holds_if, threshold.inconclusive_if):
        if bar is not None and bar.unit != measurement.unit:
            return f"measured in {measurement.unit!r}, but the bar is {bar}"
    return _interval_fault(measurement.value, measurement.interval)


def _interval_fault(value: float, interval: Interval | None) -> str:
    if interval is None:
        return ""
    shown = f"interval [{interval.low!r}, {interval.high!r}] at level {interval.level!r}"
    if not all(_is_finite(each) for each in (interval.low, interval.high, interval.level)):
        return f"{shown} is not finite"
    if not 0.0 < interval.level < 1.0:
        return f"{shown}: a level lies between 0 and 1"
    if interval.low > interval.high:
        return f"{shown} is upside down"
    if not interval.low <= value <= interval.high:
        return f"value {value!r} lies outside its own {shown}"
    return ""


def _is_finite(number: object) -> bool:
    """Falsifiers may return anything: whatever is not a plain number is not finite."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _shown(measurement: Measurement) -> str:
    interval = measurement.interval
    between = f" [{interval.low:.6g}, {interval.high:.6g}]" if interval else ""
    return f"{measurement.name} = {measurement.value:.6g} {measurement.unit}{between}"


def _miss(value: float, bar: Bar) -> str:
    """How a value that does not satisfy `bar` misses it, and by how much."""
    gap = abs(value - bar.value)
    if gap == 0:
        return f"only equals {bar}"
    return f"misses {bar} by {gap:.6g} {bar.unit}"
