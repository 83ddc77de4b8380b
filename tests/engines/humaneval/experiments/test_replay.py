"""Answers again: the released model's own come out, anybody else's do not, and verdicts are those of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from json_lines import read_rows
from refute.engines.humaneval.experiments.evaluate import evaluate
from refute.engines.humaneval.experiments.replay import choose, replay
from refute.engines.humaneval.problems.problems import Problem
from refute.errors import ExperimentError
from refute.job import Job

Json = dict[str, object]
Row = dict[str, object]


class Desk(Protocol):
    """What the fixture `desk` offers."""

    root: Path

    def job(self, config: Json, out: str = "out", **inputs: Path) -> Job: ...


@pytest.fixture
def run(desk: Desk, settings: Json, problem_file: Path, student: Path) -> Path:
    """Evidence of an evaluation of the student by the engine itself."""
    config: Json = {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": settings,
        "problems_path": str(problem_file),
        "device": "cpu",
        "threads": 1,
        "limit": None,
    }
    job = desk.job(config, "evaluated", student=student)
    evaluate(job)
    return job.out


@pytest.fixture
def again(desk: Desk, settings: Json, problem_file: Path, student: Path, run: Path) -> Callable[..., list[Row]]:
    """again(problems=…) -> the rows of replay.jsonl, over `run`."""

    def replayed(**changes: object) -> list[Row]:
        config: Json = {
            "model": "student",
            "run": "humaneval_student",
            "humaneval": settings,
            "problems_path": str(problem_file),
            "device": "cpu",
            "threads": 1,
            **changes,
        }
        job = desk.job(config, "replayed", student=student, humaneval_student=run)
        replay(job)
        return read_rows(job.out / "replay.jsonl")

    return replayed


Again = Callable[..., list[Row]]


def change(path: Path, task: str, **values: object) -> None:
    """Other values in the row of one task."""
    changed = [row | values if row["task_id"] == task else row for row in read_rows(path)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in changed), encoding="utf-8")


def test_the_released_models_own_answers_come_again(again: Again, run: Path) -> None:
    """By the plainest means, token for token, of answers that were generated in batches; verdicts, too."""
    recorded = {row["task_id"]: row["completion"] for row in read_rows(run / "samples.jsonl")}
    assert len(recorded) == 3
    assert len(set(recorded.values())) > 1, "answers that can be told apart"
    found = again()
    assert {row["task_id"]: row["completion"] for row in found} == recorded
    assert all(row["completion"] == row["recorded"] and row["passed"] is row["recorded_passed"] for row in found)


def test_an_answer_of_somebody_else_shows(again: Again, run: Path, problems: list[Problem]) -> None:
    """A reference solution in place of the model's answer: it passes, and it is not what the model says."""
    right = problems[0]
    solution = "\n" + right.canonical_solution
    change(run / "samples.jsonl", right.task_id, completion=solution)
    (row,) = [row for row in again() if row["task_id"] == right.task_id]
    assert row["recorded"] == solution != row["completion"]
    assert (row["passed"], row["recorded_passed"]) == (True, False), "executed here, not read off"


def test_a_verdict_that_was_turned_shows(again: Again, run: Path, problems: list[Problem]) -> None:
    """The recorded answer is executed again, whatever the run says of it."""
    change(run / "results.jsonl", problems[1].task_id, passed=True, outcome="passed")
    (row,) = [row for row in again() if row["task_id"] == problems[1].task_id]
    assert (row["passed"], row["recorded_passed"]) == (False, True)


@pytest.mark.parametrize("file", ["samples.jsonl", "results.jsonl"])
def test_files_of_two_runs_are_refused(again: Again, run: Path, file: str) -> None:
    """A sample without a result, and a result without a sample."""
    (run / file).write_text("".join((run / file).read_text(encoding="utf-8").splitlines(keepends=True)[:2]), "utf-8")
    with pytest.raises(ExperimentError, match="are not of one run"):
        again()


def test_a_run_without_answers_is_refused(again: Again, run: Path) -> None:
    """Nothing compared would be nothing different."""
    for file in ("samples.jsonl", "results.jsonl"):
        (run / file).write_text("", encoding="utf-8")
    with pytest.raises(ExperimentError, match="0 samples and 0 results"):
        again()


def test_only_so_many_are_replayed(again: Again) -> None:
    """What it costs is bounded."""
    assert len(again(problems=2)) == 2


@pytest.mark.parametrize(("passed", "chosen"), [(0, 0), (2, 2), (4, 4), (20, 4), (39, 7), (40, 8)])
def test_half_of_those_chosen_were_solved_where_there_are_so_many(passed: int, chosen: int) -> None:
    """Few passes are all looked at; where nearly everything passed, what failed is looked at as well."""
    results: dict[str, Row] = {f"T/{n}": {"passed": n < passed} for n in range(40)}
    found = choose(results, 8)
    assert len(set(found)) == len(found) == 8
    assert sum(results[task]["passed"] is True for task in found) == chosen


def test_nobody_chose_the_order() -> None:
    """It depends on the names alone: not on the order of the file, nor on which come first."""
    results: dict[str, Row] = {f"T/{n}": {"passed": False} for n in range(40)}
    found = choose(results, 8)
    assert found == choose(dict(reversed(results.items())), 8)
    assert set(found) != {f"T/{n}" for n in range(8)}
