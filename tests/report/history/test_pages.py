"""Verdicts over time: each release apart, what moved as a picture, strangers' text as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refute.judge.predicate.model import Predicate
from refute.outcome import Measurement, Record
from refute.report.history.page import render_comparison, render_history
from refute.report.history.series import Entry, histories
from refute.report.history.trend import trend

MOVED = "F-DISTILL-V2-001"


def at(predicate: Predicate, day: int, **values: float) -> Entry:
    """The verdict of a day, on which falsifier MOVED measured other values."""

    def changed(record: Record) -> Record:
        measured = tuple(_set(each, values) for each in record.measurements)
        return replace(record, measurements=measured) if record.falsifier == MOVED else record

    records = tuple(changed(record) for record in predicate.records)
    dated = predicate.model_copy(update={"records": records, "evaluated_at": f"2026-11-{day:02}T00:00:00Z"})
    return Entry(dated, f"{day:02}" * 32)


def _set(measured: Measurement, values: dict[str, float]) -> Measurement:
    return replace(measured, value=values[measured.name], interval=None) if measured.name in values else measured


def test_a_history_is_as_old_as_its_dates_say(predicate: Predicate) -> None:
    """Whatever order files are found in; a copy of a verdict is no second one."""
    entries = [at(predicate, day) for day in (9, 3, 27)]
    (found,) = histories([*entries, entries[0]])
    assert [entry.payload_sha256[:2] for entry in found.entries] == ["03", "09", "27"]


def test_releases_are_apart_and_the_last_judged_comes_first(predicate: Predicate) -> None:
    """Numbers of one say nothing about another."""
    release = predicate.release.model_copy(update={"id": "other"})
    other = at(predicate.model_copy(update={"release": release}), 28)
    assert [each.release for each in histories([at(predicate, 9), other])] == ["other", predicate.release.id]


def test_what_moved_is_what_differs(predicate: Predicate) -> None:
    """One falsifier's value did, and its picture says from where to where."""
    (found,) = histories([at(predicate, 3, heldout_ce=4.25), at(predicate, 9, heldout_ce=2.5)])
    (series,) = [each for each in found.series if each.moved]
    assert (series.falsifier, series.name) == (MOVED, "heldout_ce")
    assert 'aria-label="4.25 nat/token in verdict 1, 2.50 nat/token in verdict 2; below 3 nat/token"' in trend(series)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_point(predicate: Predicate, value: float) -> None:
    """And stops nothing."""
    (found,) = histories([at(predicate, 3, heldout_ce=value), at(predicate, 9, heldout_ce=2.5)])
    drawn = [str(trend(each)) for each in found.series if each.falsifier == MOVED and each.name == "heldout_ce"]
    assert ["nan" in text or "inf" in text for text in drawn] == [False]
    assert drawn[0].count("<circle") == 1


def test_strangers_text_stays_text(predicate: Predicate) -> None:
    """Names of folders, titles, and what is said of a file that cannot be read."""
    hostile = "</style><script>alert(1)</script>\u202e"
    release = predicate.release.model_copy(update={"id": hostile, "title": hostile})
    entries = [at(predicate.model_copy(update={"release": release}), day) for day in (3, 9)]
    for page in (render_history(hostile, entries, [hostile]), render_comparison(*entries)):
        assert "<script" not in page
        assert "\u202e" not in page


def test_an_empty_folder_says_so() -> None:
    """Nothing is listed, nothing is compared."""
    page = render_history("runs", [], ["verdict.intoto.json: not signed by a trusted key"])
    assert "No verdict here verifies" in page
    assert "not signed by a trusted key" in page
    assert "<form" not in page
