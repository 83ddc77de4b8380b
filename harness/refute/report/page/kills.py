"""The kill matrix: which controls each falsifier was shown, what it made of each, and which bars a bad one failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refute.outcome import ControlResult, Outcome
from refute.report.page.readings import Uses
from refute.report.view import Finding, Row
from refute.spec.bars.threshold import Threshold, decide

# How a control that behaved is written; one that did not is `!`.
_LETTERS = {Outcome.CORROBORATED: "+", Outcome.FALSIFIED: "x", Outcome.INCONCLUSIVE: "?", Outcome.ERROR: "E"}


@dataclass(frozen=True, slots=True)
class Shot:
    """One control: a letter, and in words what it had to be, what it was, and the bars that its numbers fail."""

    letter: str
    behaved: bool
    text: str
    fails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KillRow:
    """One falsifier of a criterion with its controls, in the order run. `caught` of `bad` known-bad ones."""

    falsifier: str
    anchor: str
    shots: tuple[Shot, ...]
    caught: int
    bad: int


def kill_rows(rows: Iterable[Row], uses: Uses) -> tuple[KillRow, ...]:
    """A row for each falsifier that was shown a control."""
    return tuple(_row(row, finding, uses) for row in rows for finding in row.findings if finding.controls)


def _row(row: Row, finding: Finding, uses: Uses) -> KillRow:
    use = uses.get((row.ruling.spec, row.ruling.criterion, finding.ruling.falsifier))
    bars = {} if use is None else use.parsed_thresholds()
    bad = [control for control in finding.controls if control.expected is Outcome.FALSIFIED]
    caught = sum(control.observed is Outcome.FALSIFIED for control in bad)
    shots = tuple(_shot(control, bars) for control in finding.controls)
    return KillRow(finding.ruling.falsifier, row.anchor, shots, caught, len(bad))


def _shot(control: ControlResult, bars: dict[str, Threshold]) -> Shot:
    fails = tuple(failed_bars(control, bars))
    was = control.observed.value.replace("_", " ")
    beside = f"; fails {', '.join(fails)}" if fails else ""
    text = f"{control.name}: had to be {control.expected.value}, was {was}{beside}"
    letter = _LETTERS.get(control.expected, "-") if control.behaved else "!"
    return Shot(letter, control.behaved, text, fails)


def failed_bars(control: ControlResult, bars: dict[str, Threshold]) -> Iterable[str]:
    """The names of what a control's own numbers miss."""
    for measured in control.measurements:
        bar = bars.get(measured.name)
        if bar is not None and decide(measured, bar)[0] is Outcome.FALSIFIED:
            yield measured.name
