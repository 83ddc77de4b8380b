"""The per-problem grid: for each problem what every model made of it, as cells for a page and as letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from refute.escaping import clip
from refute.judge.predicate.exhibits import Grid

_COLUMNS = 41
_WORDS = ("passed", "failed", "timeout", "error")
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


@dataclass(frozen=True, slots=True)
class Cell:
    """One problem: what each model made of it, in the order of the grids; empty where it was not put to that model.

    `letters` are the same as `+.TE` and spaces, `label` says it in words.
    """

    problem: str
    label: str
    letters: str
    outcomes: tuple[str, ...]


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
        counts = tuple((word, tally[word]) for word in _WORDS)
        letters = "".join(LETTERS[given[problem]] if problem in given else " " for problem in problems)
        rows.append(GridRow(grid.name, len(grid.outcomes), counts, letters))
    return tuple(rows)


def cells(grids: Sequence[Grid]) -> tuple[Cell, ...]:
    """Every problem with what each model made of it, in the order of `columns`."""
    sound = _sound(grids)
    given = [dict(zip(grid.problems, grid.outcomes, strict=True)) for grid in sound]
    names = [clip(grid.name, 40) for grid in sound]
    return tuple(_cell(problem, names, [row.get(problem, "") for row in given]) for problem in columns(grids))


def _cell(problem: str, names: Sequence[str], outcomes: Sequence[str]) -> Cell:
    said = ", ".join(f"{name} {outcome}" for name, outcome in zip(names, outcomes, strict=True) if outcome)
    letters = "".join(LETTERS.get(outcome, " ") for outcome in outcomes)
    return Cell(problem, f"{clip(problem, 60)}: {said}", letters, tuple(outcomes))


def _sound(grids: Sequence[Grid]) -> tuple[Grid, ...]:
    return tuple(grid for grid in grids if len(grid.problems) == len(grid.outcomes))
