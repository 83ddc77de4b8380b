"""The report in a step's summary: within GitHub's limit with what is already there, and never in the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from refute.judge.predicate.model import Predicate
from refute.report import REPORTS, markdown_within, verdict_line
from refute.report.step_summary import LIMIT_BYTES, VARIABLE, append_step_summary
from tiny_run import JudgedOnce

PAYLOAD = "1" * 64


@pytest.fixture
def predicate(honest_go: JudgedOnce) -> Predicate:
    """A verdict whose Markdown is almost as long as it may be, in characters of four bytes."""
    found = honest_go.judged.predicate
    verdict = replace(found.verdict, reasons=tuple("\U0001f600" * 390 + str(number) for number in range(20)))
    faults = tuple("\U0001f600" * 390 + str(number) for number in range(60))
    return found.model_copy(update={"verdict": verdict, "record_faults": faults})


@pytest.mark.slow
def test_it_is_appended_whole_where_there_is_room(predicate: Predicate, tmp_path: Path) -> None:
    """The Markdown report, after what other steps wrote; without the variable nothing is done."""
    path = tmp_path / "summary.md"
    path.write_text("before", encoding="utf-8")
    assert append_step_summary(predicate, PAYLOAD, {VARIABLE: str(path)}) == ""
    assert path.read_text(encoding="utf-8") == "before\n" + REPORTS["md"].render(predicate, PAYLOAD)
    assert append_step_summary(predicate, PAYLOAD, {}) == ""


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 1, 100, 160, 2_000, 12_000, 30_000, 100_000, 185_000, 300_000])
def test_it_never_exceeds_the_limit(predicate: Predicate, tmp_path: Path, room: int) -> None:
    """However much is taken, the file stays within the limit in bytes, and what is added is a whole report, one cut
    between sections, one line, or nothing; a report that was cut says so."""
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * (LIMIT_BYTES - room))
    said = append_step_summary(predicate, PAYLOAD, {VARIABLE: str(path)})
    assert path.stat().st_size <= LIMIT_BYTES
    added = path.read_bytes()[LIMIT_BYTES - room :].decode("utf-8")
    whole, line = REPORTS["md"].render(predicate, PAYLOAD), verdict_line(predicate, PAYLOAD)
    if not added:
        assert "summary is full" in said
        assert room < len(line) + 2
    elif added != f"\n{line}\n":
        assert added.startswith("\n# GO")
        assert added == f"\n{whole}" or "**Left out to stay within" in added
        assert added.count("```") % 2 == 0
    assert bool(added) is (said == "")


@pytest.mark.slow
def test_what_names_the_missing_parts_counts_too(predicate: Predicate) -> None:
    """With a few bytes less than a shortened report takes, it takes less: the line about what is missing counts."""
    size = len(markdown_within(predicate, PAYLOAD, 40_000).encode())
    for room in range(size - 1_500, size + 1, 60):
        assert len(markdown_within(predicate, PAYLOAD, room).encode()) <= room


@pytest.mark.slow
@pytest.mark.parametrize("name", ["absent/summary.md", "", "folder", "nul\0byte"])
def test_a_summary_that_cannot_be_written_is_only_mentioned(predicate: Predicate, tmp_path: Path, name: str) -> None:
    """A folder in its place, or none to put it in: a sentence, never an error."""
    (tmp_path / "folder").mkdir()
    said = append_step_summary(predicate, PAYLOAD, {VARIABLE: str(tmp_path / name)})
    assert "was not written" in said


@pytest.mark.slow
def test_a_long_verdict_loses_parts_and_not_its_head(predicate: Predicate, tmp_path: Path) -> None:
    """With room for a part of it, ruling and reasons stay and what is missing is named."""
    verdict = replace(predicate.verdict, reasons=("because \U0001f600",))
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * (LIMIT_BYTES - 30_000))
    append_step_summary(predicate.model_copy(update={"verdict": verdict}), PAYLOAD, {VARIABLE: str(path)})
    added = path.read_bytes()[LIMIT_BYTES - 30_000 :].decode("utf-8")
    assert "because \U0001f600" in added
    assert "Read with care" in added.split("**Left out")[1]
