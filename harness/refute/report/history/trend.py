"""How a measurement went from verdict to verdict, as a picture: values with their intervals, and the bar of each."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup

from refute.escaping import clip
from refute.report.history.series import Series
from refute.report.page.axis import Axis, axis_for
from refute.report.page.readings import Reading
from refute.report.page.rounding import rounded
from refute.report.page.summary import asked

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _SIDE = 360, 110, 12, 90, 14.0
_LABELS = 106
# The newest; more would be a smear.
_MOST_POINTS = 60


def trend(series: Series) -> Markup:
    """Some 360 pixels wide; its label says the first and the last value in words. Empty without a finite value."""
    points = [each for each in series.points if math.isfinite(each[1].measurement.value)][-_MOST_POINTS:]
    if not points:
        return Markup("")
    up = axis_for([end for _, reading in points for end in _ends(reading)], _BOTTOM, _TOP)
    first, last = points[0][0], points[-1][0]
    across = Axis(first - 0.5, last + 0.5, _SIDE, _WIDTH - _SIDE, False, ())
    (one, oldest), (other, newest) = points[0], points[-1]
    told = f"{_value(oldest)} in verdict {one + 1}, {_value(newest)} in verdict {other + 1}; {asked(newest.bar)}"
    opening = Markup('<svg class="trend {}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    line = " ".join(
        f"{across.place(number):.1f},{up.place(reading.measurement.value):.1f}" for number, reading in points
    )
    parts = [
        opening.format(newest.outcome.value, _WIDTH, _HEIGHT, clip(told, 300)),
        *_bars(points, across, up),
        Markup('<polyline points="{}"/>').format(line),
        *(mark for number, reading in points for mark in _mark(across.place(number), reading, up)),
        _text(_SIDE, "start", _value(oldest)),
        _text(_WIDTH - _SIDE, "end", f"{_value(newest)} ({asked(newest.bar)})"),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def _ends(reading: Reading) -> list[float]:
    between = reading.measurement.interval
    ends = [] if between is None else [between.low, between.high]
    return [end for end in (reading.measurement.value, reading.bar.value, *ends) if math.isfinite(end)]


def _value(reading: Reading) -> str:
    return f"{rounded(reading.measurement, reading.bar)} {reading.measurement.unit}"


def _bars(points: list[tuple[int, Reading]], across: Axis, up: Axis) -> Iterable[Markup]:
    """The bar of each verdict, as wide as its place: one that moved is seen to."""
    for number, reading in points:
        ends = across.place(number - 0.5), across.place(number + 0.5)
        y = up.place(reading.bar.value)
        bar = Markup('<line class="bar" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
        yield bar.format(*ends, y, y)


def _mark(x: float, reading: Reading, up: Axis) -> Iterable[Markup]:
    between = reading.measurement.interval
    if between is not None and math.isfinite(between.low) and math.isfinite(between.high):
        low, high = up.place(between.low), up.place(between.high)
        whisker = Markup('<line class="between" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>')
        yield whisker.format(x, low, high)
    yield Markup('<circle class="value" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, up.place(reading.measurement.value))


def _text(x: float, anchor: str, text: str) -> Markup:
    return Markup('<text class="name" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
        x, _LABELS, anchor, clip(text, 44)
    )
