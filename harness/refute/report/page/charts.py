"""Loss curves as inline SVG, written by hand: the same bytes everywhere, colours from the page's own style.

Lines differ by dash pattern as well as colour and carry their names, so the figure reads in black and white.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refute.escaping import clip
from refute.judge.predicate.exhibits import Curve
from refute.report.page.axis import Axis, axis_for
from refute.report.wording import number

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 168, 14, 46
_LINE_HEIGHT = 30.0
_MOST_POINTS = 400
SERIES_STYLES = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart: the curves that share a chart name and a unit, and the SVG that draws them."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    svg: Markup
    note: str


def figures(curves: Sequence[Curve]) -> tuple[Figure, ...]:
    """One figure for each (chart, unit), in order of first appearance. Curves without points are left out."""
    charts: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        if curve.steps and len(curve.steps) == len(curve.values):
            charts.setdefault((curve.chart, curve.unit), []).append(curve)
    return tuple(_figure(title, unit, tuple(members)) for (title, unit), members in charts.items())


def _figure(title: str, unit: str, curves: tuple[Curve, ...]) -> Figure:
    across = axis_for([step for curve in curves for step in curve.steps], _LEFT, _WIDTH - _RIGHT)
    values = [value for curve in curves for value in curve.values]
    up = axis_for(values, _HEIGHT - _BOTTOM, _TOP, may_be_log=True)
    notes = ["Logarithmic axis."] if up.log else []
    if any(len(curve.steps) > _MOST_POINTS for curve in curves):
        notes.append(f"Long series are drawn from at most {_MOST_POINTS} points; highs and lows are kept.")
    return Figure(title, unit, curves, _svg(title, unit, curves, across, up), " ".join(notes))


def _svg(title: str, unit: str, curves: tuple[Curve, ...], across: Axis, up: Axis) -> Markup:
    names = ", ".join(f"{curve.name} {_ends(curve)}" for curve in curves)
    label = clip(f"{title}, {unit} over optimiser steps: {names}", 500)
    opening = Markup('<svg class="curves" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    parts = [
        opening.format(_WIDTH, _HEIGHT, label),
        *_frame(unit, across, up),
        *(_line(index, curve, across, up) for index, curve in enumerate(curves)),
        *_labels(curves, up),
        Markup("</svg>"),
    ]
    return Markup("\n").join(parts)


def _ends(curve: Curve) -> str:
    return f"from {number(curve.values[0])} to {number(curve.values[-1])}"


def _frame(unit: str, across: Axis, up: Axis) -> Iterable[Markup]:
    rule = Markup('<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    for tick in up.ticks:
        y = _px(up.place(tick))
        yield rule.format(_LEFT, _WIDTH - _RIGHT, y, y)
        yield _text(_LEFT - 8, up.place(tick) + 4, _tick(tick), "end")
    for tick in across.ticks:
        yield _text(across.place(tick), _HEIGHT - _BOTTOM + 18, _tick(tick), "middle")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "optimiser step", "middle")
    middle = _px((_TOP + _HEIGHT - _BOTTOM) / 2)
    upright = Markup('<text class="unit" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>')
    yield upright.format(middle, clip(unit, 40))


def _line(index: int, curve: Curve, across: Axis, up: Axis) -> Markup:
    points = [(_px(across.place(step)), _px(up.place(value))) for step, value in _thinned(curve)]
    title = f"{clip(curve.name, 80)} {_ends(curve)} {clip(curve.unit, 40)}"
    style = index % SERIES_STYLES
    if len(points) == 1:
        mark = Markup('<circle class="dot s{}" cx="{}" cy="{}" r="4"/>').format(style, *points[0])
    else:
        path = " ".join(f"{x},{y}" for x, y in points)
        mark = Markup('<polyline class="line s{}" points="{}"/>').format(style, path)
    return Markup("<g><title>{}</title>{}</g>").format(title, mark)


def _thinned(curve: Curve) -> list[tuple[int, float]]:
    """At most _MOST_POINTS points: the lowest and the highest of each stretch, and both ends."""
    points = list(zip(curve.steps, curve.values, strict=True))
    if len(points) <= _MOST_POINTS:
        return points
    inner = points[1:-1]
    size = math.ceil(len(inner) / (_MOST_POINTS // 2 - 1))
    kept = [points[0]]
    for start in range(0, len(inner), size):
        stretch = inner[start : start + size]
        extremes = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept.extend(sorted(extremes))
    return [*kept, points[-1]]


def _labels(curves: Sequence[Curve], up: Axis) -> Iterable[Markup]:
    """Names beside the lines' ends, moved apart where they would cover one another."""
    wanted = sorted((up.place(curve.values[-1]), index) for index, curve in enumerate(curves))
    floor, placed = _TOP + 10.0, []
    for y, index in wanted:
        floor = max(y, floor)
        placed.append((floor, index))
        floor += _LINE_HEIGHT
    overflow = max(0.0, placed[-1][0] + 14.0 - (_HEIGHT - _BOTTOM))
    x = _WIDTH - _RIGHT + 10
    for y, index in placed:
        curve, style, at = curves[index], index % SERIES_STYLES, y - overflow
        yield Markup('<line class="line s{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            style, x, x + 26, _px(at), _px(at)
        )
        yield _text(x + 32, at + 4, clip(curve.name, 19), "start", "name")
        yield _text(x + 32, at + 17, number(curve.values[-1]), "start")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, _px(x), _px(y), anchor, text
    )


def _tick(value: float) -> str:
    return f"{value:.10g}"


def _px(value: float) -> str:
    return f"{value:.1f}"
