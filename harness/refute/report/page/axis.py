"""Numbers to pixels: linear and logarithmic axes with round tick values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Below this ratio of largest to smallest value a logarithmic axis shows nothing that a linear one hides.
_LOG_RATIO = 20.0


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps [low, high] to pixels [start, end]; `ticks` lie within [low, high]."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """The pixel of `value`."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def axis_for(values: Sequence[float], start: float, end: float, *, may_be_log: bool = False) -> Axis:
    """An axis that holds every value. Logarithmic if allowed, all positive, and spanning a factor of 20."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low >= _LOG_RATIO:
        return Axis(low / 1.1, high * 1.1, start, end, True, _log_ticks(low / 1.1, high * 1.1))
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
    step = _round_step((high - low) / 5)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    ticks = tuple(low + index * step for index in range(round((high - low) / step) + 1))
    return Axis(low, high, start, end, False, ticks)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
    ticks = (factor * 10.0**exponent for exponent in exponents for factor in factors)
    return tuple(tick for tick in ticks if low <= tick <= high)
