"""The per-problem grid as inline SVG: a row for each model, a cell for each problem, wrapped to fit a page.

Cells differ by sign as well as by fill: passed is a filled cell with a tick, failed an empty one with a dot,
timeout a T, error an E; a problem that a model was not given has no cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refute.escaping import clip
from refute.judge.predicate.exhibits import Grid

_COLUMNS = 41
_CELL, _GAP, _LABEL, _HEAD = 13, 2, 120, 18
_BAND_GAP = 12

_MARKS = {
    "passed": '<path class="sign" d="M3 6.8 5.4 9.2 10 3.8"/>',
    "failed": '<circle class="speck" cx="6.5" cy="6.5" r="1.4"/>',
    "timeout": '<path class="sign" d="M3.5 3.5H9.5M6.5 3.5V10"/>',
    "error": '<path class="sign" d="M9 3.5H4.5V9.5H9M4.5 6.5H8.5"/>',
}

LETTERS = {"passed": "+", "failed": ".", "timeout": "T", "error": "E"}


@dataclass(frozen=True, slots=True)
class GridRow:
    """One model: problems by outcome, and its letters (`+.TE`, space: not given) in column order."""

    name: str
    total: int
    counts: tuple[tuple[str, int], ...]
    letters: str

    @property
    def text(self) -> str:
        """The letters in numbered lines, wrapped as the picture is."""
        starts = range(0, len(self.letters), _COLUMNS)
        return "\n".join(f"{start + 1:>4} {self.letters[start : start + _COLUMNS]}" for start in starts)


def columns(grids: Sequence[Grid]) -> tuple[str, ...]:
    """Every problem of every grid, in order of first appearance."""
    return tuple(dict.fromkeys(problem for grid in _sound(grids) for problem in grid.problems))


def grid_rows(grids: Sequence[Grid]) -> tuple[GridRow, ...]:
    """The grid in letters and numbers, for readers without the picture."""
    problems = columns(grids)
    rows = []
    for grid in _sound(grids):
        given = dict(zip(grid.problems, grid.outcomes, strict=True))
        tally = Counter[str](grid.outcomes)
        counts = tuple((word, tally[word]) for word in _MARKS)
        letters = "".join(LETTERS[given[problem]] if problem in given else " " for problem in problems)
        rows.append(GridRow(grid.name, len(grid.outcomes), counts, letters))
    return tuple(rows)


def grid_svg(grids: Sequence[Grid]) -> Markup:
    """The grid. Each cell has a tooltip with model, problem and outcome. Empty if there is nothing to draw."""
    problems, sound = columns(grids), _sound(grids)
    if not problems:
        return Markup("")
    bands = [problems[start : start + _COLUMNS] for start in range(0, len(problems), _COLUMNS)]
    pitch = _CELL + _GAP
    band_height = _HEAD + len(sound) * pitch + _BAND_GAP
    width = _LABEL + _COLUMNS * pitch  # the same for few problems: cells keep their size
    passed = ", ".join(f"{row.name} passed {dict(row.counts)['passed']} of {row.total}" for row in grid_rows(grids))
    opening = Markup('<svg class="grid" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    height = len(bands) * band_height - _BAND_GAP
    parts = [opening.format(width, height, clip(f"Outcome of each problem: {passed}", 500))]
    given = [dict(zip(grid.problems, grid.outcomes, strict=True)) for grid in sound]
    for index, band in enumerate(bands):
        top = index * band_height
        first = index * _COLUMNS + 1
        parts.append(_text(_LABEL, top + 12, f"{first} to {first + len(band) - 1}", "tick"))
        for line, grid in enumerate(sound):
            y = top + _HEAD + line * pitch
            parts.append(_text(0, y + 11, clip(grid.name, 13), "name"))
            parts.extend(_cells(grid.name, band, given[line], y))
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def _cells(name: str, band: Sequence[str], given: Mapping[str, str], y: int) -> Iterable[Markup]:
    for column, problem in enumerate(band):
        outcome = given.get(problem)
        if outcome is None:
            continue
        yield Markup(
            '<g class="cell {}" transform="translate({} {})"><title>{}, {}: {}</title>'
            '<rect width="{}" height="{}" rx="2"/>{}</g>'
        ).format(
            outcome,
            _LABEL + column * (_CELL + _GAP),
            y,
            clip(name, 60),
            clip(problem, 60),
            outcome,
            _CELL,
            _CELL,
            Markup(_MARKS[outcome]),  # noqa: S704  # a constant of this file, looked up by a closed word
        )


def _text(x: int, y: int, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, x, y, text)


def _sound(grids: Sequence[Grid]) -> tuple[Grid, ...]:
    return tuple(grid for grid in grids if len(grid.problems) == len(grid.outcomes))
