"""How many digits of a number are shown: as many as its interval supports, and enough not to change its side."""

from __future__ import annotations

import math

from refute.outcome import Interval, Measurement
from refute.spec.bars.threshold import Bar

# Of an uncertainty at most two significant digits are given (GUM, JCGM 100:2008, 7.2.6); the value ends where it does.
_OF_UNCERTAINTY = 2
_WITHOUT_INTERVAL = 3
_MOST_DECIMALS = 320


def rounded(measured: Measurement, bar: Bar | None = None) -> str:
    """The value, to the digits that its interval supports; without an interval to three, whole numbers in full.

    Further digits are shown where fewer would put it on the other side of `bar`.
    """
    return _shown(measured.value, measured.interval, bar)


def bounds(interval: Interval, bar: Bar | None = None) -> tuple[str, str]:
    """Both ends of `interval`, to the digits of the value between them."""
    return _shown(interval.low, interval, bar), _shown(interval.high, interval, bar)


def gap(measured: Measurement, bar: Bar) -> str:
    """By how much the value and the bar differ."""
    return _shown(abs(measured.value - bar.value), measured.interval, None)


def _shown(value: float, interval: Interval | None, bar: Bar | None) -> str:
    if not math.isfinite(value):
        return str(value)
    if interval is None and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    first = _decimals(value, interval)
    for decimals in range(first, first + 18):
        text = _fixed(value, decimals)
        if bar is None or _side(float(text.replace(",", "")), bar) == _side(value, bar):
            return text
    return repr(value)


def _decimals(value: float, interval: Interval | None) -> int:
    half = 0.0 if interval is None else (interval.high - interval.low) / 2
    scale, digits = (half, _OF_UNCERTAINTY) if 0 < half < math.inf else (abs(value), _WITHOUT_INTERVAL)
    return min(digits - 1 - math.floor(math.log10(scale)), _MOST_DECIMALS) if scale > 0 else 0


def _fixed(value: float, decimals: int) -> str:
    near = round(value, decimals) + 0.0  # never "-0"
    if near != 0 and abs(near) < 1e-3:
        digits = math.floor(math.log10(abs(near))) + decimals
        return f"{near:.{max(digits, 0)}e}"
    return f"{near:,.{max(decimals, 0)}f}"


def _side(value: float, bar: Bar) -> tuple[bool, bool]:
    return bar.holds(value), value == bar.value
