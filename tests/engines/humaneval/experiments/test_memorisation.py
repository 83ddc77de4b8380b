"""Three models are asked for solutions under two sets of names, and one is seen to know what it was taught."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import pytest

from json_lines import read_rows, write_rows
from refute.engines.humaneval.experiments.memorisation import measure_memorisation
from refute.errors import ExperimentError
from refute.job import Job


class Desk(Protocol):
    """What the fixture `desk` offers."""

    root: Path

    def job(self, config: dict[str, object], out: str = "out", **inputs: Path) -> Job: ...


def problems(folder: Path, count: int) -> Path:
    """So many tasks of different names, each a few lines."""
    body = "    total = {}\n    for number in numbers:\n        total += number\n    return total\n"
    rows = [
        {
            "task_id": f"Sum/{n}",
            "prompt": f"def sum_{n}(numbers):\n",
            "entry_point": f"sum_{n}",
            "canonical_solution": body.format(n),
            "test": "\n\ndef check(candidate):\n    assert candidate([])\n",
        }
        for n in range(count)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "problems.jsonl", rows)
    return folder / "problems.jsonl"


def measured(desk: Desk, student: Path, count: int, **changes: object) -> Path:
    """The experiment's output, with one model in all three places."""
    model: dict[str, object] = {"kind": "evidence", "name": "student"}
    config: dict[str, object] = {
        **dict.fromkeys(("teacher", "init", "student"), model),
        "problems_path": str(problems(desk.root, count)),
        "tokens_at_most": 512,
        "threads": 1,
        **changes,
    }
    job = desk.job(config, student=student)
    measure_memorisation(job)
    return job.out


@pytest.mark.slow
def test_every_model_is_asked_for_the_same_solutions(desk: Desk, student: Path) -> None:
    out = measured(desk, student, 12, tasks_at_most=10)
    rows = read_rows(out / "familiarity.jsonl")
    asked = {name: [row["task_id"] for row in rows if row["model"] == name] for name in ("teacher", "init", "student")}
    assert len(asked["student"]) == len(set(asked["student"])) == 10
    assert asked["teacher"] == asked["init"] == asked["student"]
    assert all(math.isfinite(row[key]) for row in rows for key in ("original", "renamed"))


@pytest.mark.slow
def test_who_was_taught_solutions_knows_them_by_their_names(desk: Desk, student: Path) -> None:
    out = measured(desk, student, 10)
    before = {row["task_id"]: row for row in read_rows(out / "familiarity.jsonl") if row["model"] == "student"}
    for row in read_rows(out / "taught.jsonl"):
        assert row["original"] < before[row["task_id"]]["original"]


def test_too_few_solutions_are_an_error(desk: Desk, student: Path) -> None:
    with pytest.raises(ExperimentError, match=r"of 3 solutions 3 have variables .* expected 8 or more"):
        measured(desk, student, 3)
