"""Verdicts of a run: numbered, never overwritten, each with its own key, bundle and reports."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refute.errors import UsageError
from refute.judge.run.verdict_files import VerdictFiles, files_of, put_verdict, verdicts_in


def names(files: VerdictFiles) -> list[str]:
    """The names of all that belongs to a verdict."""
    return [path.name for path in (files.verdict, files.bundle, files.key, files.report("md"))]


def test_the_first_has_the_plain_names_and_the_second_says_so() -> None:
    """As docs/verdict.md gives them."""
    run = Path("run")
    assert names(VerdictFiles(run)) == ["verdict.intoto.json", "verdict.intoto.jsonl", "verifier.pem", "report.md"]
    assert names(VerdictFiles(run, 2)) == [
        "verdict-2.intoto.json",
        "verdict-2.intoto.jsonl",
        "verifier-2.pem",
        "report-2.md",
    ]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("verdict.intoto.json", 1),
        ("verdict.intoto.jsonl", 1),
        ("verdict-2.intoto.json", 2),
        ("verdict-17.intoto.jsonl", 17),
        ("verdict-0.intoto.json", 1),
        ("verdict-1.intoto.json", 1),
        ("carried-over.json", 1),
    ],
)
def test_what_belongs_to_a_verdict_is_told_by_its_name(name: str, number: int) -> None:
    """A renamed one is taken for the first."""
    assert files_of(Path("run") / name) == VerdictFiles(Path("run"), number)


def test_no_verdict_is_overwritten(tmp_path: Path) -> None:
    """However many judges write at once: each envelope has a file of its own, and the newest comes last."""
    envelopes = [b"%d" % number for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        put = list(pool.map(lambda envelope: put_verdict(tmp_path, envelope), envelopes))
    assert [files.verdict.read_bytes() for files in put] == envelopes
    assert [files.number for files in verdicts_in(tmp_path)] == list(range(1, 13))
    assert {stat.S_IMODE(files.verdict.stat().st_mode) for files in put} == {0o644}


def test_a_number_is_not_given_again(tmp_path: Path) -> None:
    """Where an earlier verdict was removed, the next one still comes after those that were there."""
    first, second = put_verdict(tmp_path, b"1"), put_verdict(tmp_path, b"2")
    first.verdict.unlink()
    assert (second.number, put_verdict(tmp_path, b"3").number) == (2, 3)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Named, with what to do."""
    with pytest.raises(UsageError, match=r"cannot write .*absent/verdict\.intoto\.json"):
        put_verdict(tmp_path / "absent", b"{}")
