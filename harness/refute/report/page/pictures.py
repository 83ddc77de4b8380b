"""One criterion as a picture: what was measured, with its interval, against the bar, and where the controls lie.

The bar stands in the middle and the side on which the claim holds is shaded. What lies beyond the edge of a picture
is drawn at its edge, as an arrow. Nothing rests on colour: good controls are ticks, bad ones crosses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refute.escaping import clip
from refute.outcome import Outcome
from refute.report.page.readings import Mark, Reading
from refute.report.page.rounding import rounded
from refute.report.page.summary import asked, sentence

_WIDTH, _HEIGHT, _LINE, _CONTROLS, _LABELS = 360, 74, 30, 50, 68
_EDGE = 8.0
_ROOM = 1.6  # of the farthest end of value and interval from the bar
_LABEL_ROOM = 110.0
_MOST_MARKS = 60

# Interval widths on either side of the bar, in the chart of all criteria.
WIDTHS = 4
_TRACK = 18


@dataclass(frozen=True, slots=True)
class _Window:
    """Values around a bar, to pixels; what lies outside goes to the edge."""

    bar: float
    reach: float

    def place(self, value: float) -> float:
        share = max(-1.0, min(1.0, (value - self.bar) / self.reach))
        return _WIDTH / 2 + share * (_WIDTH / 2 - _EDGE)

    def outside(self, value: float) -> bool:
        return abs(value - self.bar) > self.reach


def picture(reading: Reading) -> Markup:
    """One measurement against its bar, some 360 pixels wide; its label says the same in words."""
    window = _window(reading)
    opening = Markup('<svg class="picture {}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    parts = [
        opening.format(reading.outcome.value, _WIDTH, _HEIGHT, clip(f"{sentence(reading)} {_told(reading)}", 400)),
        *_ground(reading, window),
        *(_control(mark, window) for mark in reading.controls[:_MOST_MARKS]),
        *_measured(reading, window),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def _told(reading: Reading) -> str:
    good = sum(mark.expected is Outcome.CORROBORATED for mark in reading.controls)
    return f"Controls: {good} good, {len(reading.controls) - good} others."


def _window(reading: Reading) -> _Window:
    bar, measured = reading.bar.value, reading.measurement
    between = measured.interval
    ends = [measured.value] if between is None else [measured.value, between.low, between.high]
    reach = max(abs(end - bar) for end in ends) * _ROOM
    if not reach:
        reach = min((abs(mark.value - bar) for mark in reading.controls if mark.value != bar), default=1.0) * _ROOM
    return _Window(bar, reach)


def _ground(reading: Reading, window: _Window) -> Iterable[Markup]:
    middle, sign = _WIDTH / 2, reading.bar.operator[0]
    side = {"<": (0.0, middle), ">": (middle, middle), "=": (middle - 3, 6.0)}[sign]
    yield Markup('<rect class="holds" x="{}" y="16" width="{}" height="28"/>').format(_px(side[0]), _px(side[1]))
    yield Markup('<line class="rule" x1="0" x2="{}" y1="{}" y2="{}"/>').format(_WIDTH, _LINE, _LINE)
    yield Markup('<line class="bar" x1="{0}" x2="{0}" y1="14" y2="46"/>').format(_px(middle))
    yield _text(middle, 11, asked(reading.bar), "middle", "tick")
    x = window.place(reading.measurement.value)
    if x > _LABEL_ROOM:  # the value's own label is not written over
        yield _text(2, _LABELS, f"{window.bar - window.reach:.3g}", "start", "tick")
    if x < _WIDTH - _LABEL_ROOM:
        yield _text(_WIDTH - 2, _LABELS, f"{window.bar + window.reach:.3g}", "end", "tick")


def _measured(reading: Reading, window: _Window) -> Iterable[Markup]:
    measured, x = reading.measurement, window.place(reading.measurement.value)
    if measured.interval is not None:
        ends = window.place(measured.interval.low), window.place(measured.interval.high)
        yield Markup('<line class="between" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(*map(_px, ends), _LINE, _LINE)
    yield Markup('<circle class="value" cx="{}" cy="{}" r="5"/>').format(_px(x), _LINE)
    yield _text(max(40.0, min(_WIDTH - 40.0, x)), _LABELS, rounded(measured, reading.bar), "middle", "name")


def _control(mark: Mark, window: _Window) -> Markup:
    x, good = window.place(mark.value), mark.expected is Outcome.CORROBORATED
    if window.outside(mark.value):
        tip = 5 if mark.value > window.bar else -5
        path = f"M{_px(x)} {_CONTROLS - 4}l{tip} 4l{-tip} 4"
    elif good:
        path = f"M{_px(x)} {_CONTROLS - 5}v10"
    else:
        path = f"M{_px(x - 3)} {_CONTROLS - 3}l6 6m0-6l-6 6"
    kind = "good" if good else "bad"
    title = f"{kind} control {clip(mark.name, 80)}: {mark.value:.4g}"
    return Markup('<path class="control {}" d="{}"><title>{}</title></path>').format(kind, path, title)


def bullet(reading: Reading) -> Markup:
    """A row of the chart of all criteria: the value and its interval, in widths of it, from the bar in the middle.

    Positive, to the right, is the side that holds. Without an interval there is no such distance, and no mark.
    """
    distance = reading.distance
    middle, unit = _WIDTH / 2, (_WIDTH / 2 - _EDGE) / WIDTHS
    parts = [
        Markup('<rect class="holds" x="{}" y="0" width="{}" height="{}"/>').format(middle, middle, _TRACK),
        Markup('<line class="bar" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(middle, _TRACK),
    ]
    if distance is not None:
        ends = [max(0.0, min(float(_WIDTH), middle + (distance + half) * unit)) for half in _halves(reading)]
        if abs(distance) > WIDTHS:
            tip = 1 if distance > 0 else -1
            x = middle + tip * (middle - _EDGE)
            path = f"M{_px(x - 4 * tip)} 3l{8 * tip} 6l{-8 * tip} 6z"
            parts.append(Markup('<path class="value" d="{}"/>').format(path))
        else:
            parts.append(Markup('<line class="between" x1="{}" x2="{}" y1="9" y2="9"/>').format(*map(_px, ends)))
            at = _px(middle + distance * unit)
            parts.append(Markup('<circle class="value" cx="{}" cy="9" r="5"/>').format(at))
    opening = Markup('<svg class="bullet {}" viewBox="0 0 {} {}" aria-hidden="true">')
    return Markup("").join([opening.format(reading.outcome.value, _WIDTH, _TRACK), *parts, Markup("</svg>")])


def _halves(reading: Reading) -> Sequence[float]:
    """The ends of the interval from the value, in its widths, low side of the distance first."""
    measured, between = reading.measurement, reading.measurement.interval
    if between is None:
        return 0.0, 0.0
    width = between.high - between.low
    ends = ((between.low - measured.value) / width, (between.high - measured.value) / width)
    return ends if reading.bar.operator[0] == ">" else (-ends[1], -ends[0])


def widths(reading: Reading) -> str:
    """The distance with its sign, such as `+0.71`: positive is the side that holds."""
    distance = reading.distance
    if not distance:
        return "no interval" if distance is None else "0"
    return f"{distance:+.2g}" if abs(distance) < 100 else f"{distance:+,.0f}"


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> Markup:
    written = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')
    return written.format(kind, _px(x), y, anchor, clip(text, 40))


def _px(value: float) -> str:
    return f"{value:.1f}"
