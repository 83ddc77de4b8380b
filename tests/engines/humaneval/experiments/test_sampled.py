"""Several samples a problem: drawn, judged and written one by one, and drawn again by whoever knows the seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import ValidationError

from json_lines import read_rows
from refute.engines.humaneval.experiments.evaluate import evaluate
from refute.engines.humaneval.experiments.replay import replay
from refute.humaneval import pass_at_k
from refute.job import Job
from refute.spec.experiments.evidence_files import FILES, HUMANEVAL_SAMPLED, JsonFile, RowsFile
from refute.spec.release import HumanEval

Json = dict[str, object]
DRAWN: Json = {"samples": 3, "temperature": 1.2, "top_p": 0.9, "seed": 23}
MODEL: Json = {"kind": "evidence", "name": "student"}


class Desk(Protocol):
    """What the fixture `desk` offers."""

    def job(self, config: Json, out: str = "out", **inputs: Path) -> Job: ...


@pytest.fixture
def told(settings: Json, problem_file: Path) -> Json:
    """What both experiments are told."""
    return {
        "model": MODEL,
        "humaneval": {**settings, "sampling": DRAWN},
        "problems_path": str(problem_file),
        "threads": 1,
    }


@pytest.fixture
def run(desk: Desk, told: Json, student: Path) -> Path:
    """Evidence of three samples each of three problems."""
    job = desk.job(told, "sampled", student=student)
    evaluate(job)
    return job.out


def _again(desk: Desk, told: Json, student: Path, run: Path) -> Path:
    job = desk.job({**told, "run": HUMANEVAL_SAMPLED}, "again", student=student, humaneval_sampled=run)
    replay(job)
    return job.out


@pytest.mark.slow
def test_samples_are_judged_one_by_one_and_drawn_again(desk: Desk, told: Json, student: Path, run: Path) -> None:
    """Each has a row in every file; a plain decoder draws the same, from seed, problem and sample alone."""
    samples, results = read_rows(run / "samples.jsonl"), read_rows(run / "results.jsonl")
    keys = [(row["task_id"], row["sample"]) for row in samples]
    assert len(set(keys)) == 9
    assert keys == [(row["task_id"], row["sample"]) for row in results]
    assert len({row["completion"] for row in samples}) > 3, "samples of one problem differ"
    for file in FILES[HUMANEVAL_SAMPLED]:
        assert isinstance(file, JsonFile | RowsFile)
        file.read(run, HUMANEVAL_SAMPLED)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert (summary["samples"], summary["problems"]) == (3, 3)
    passes = [sum(row["passed"] for row in results if row["task_id"] == task) for task in dict(keys)]
    assert summary["pass_at_k"] == {
        str(k): pytest.approx(sum(pass_at_k(3, c, k) for c in passes) / 3) for k in (1, 2, 3)
    }
    assert summary["effective_sampler"]["seed"] == 23
    again = _again(desk, told, student, run)
    rows, expected = read_rows(again / "replay.jsonl"), read_rows(again / "expected_calls.jsonl")
    assert len(rows) == 8, "as many as are drawn of those that fail"
    assert all(row["completion"] == row["recorded"] and row["passed"] is row["recorded_passed"] for row in rows)
    calls = read_rows(run / "model_calls.jsonl")
    shared = sorted(expected[0].keys() & calls[0].keys())
    assert {"sample", "sampler", "temperature", "top_p", "seed", "prompt_ids"} <= set(shared)
    assert [[row[key] for key in shared] for row in calls] == [[row[key] for key in shared] for row in expected]


@pytest.mark.slow
def test_samples_drawn_by_another_seed_show(desk: Desk, settings: Json, told: Json, student: Path, run: Path) -> None:
    """They are the model's own, and not those that were promised: whoever may choose among draws scores higher."""
    other = {**told, "humaneval": {**settings, "sampling": {**DRAWN, "seed": 24}}}
    rows = read_rows(_again(desk, other, student, run) / "replay.jsonl")
    assert any(row["completion"] != row["recorded"] for row in rows)


def test_what_cannot_be_drawn_again_is_refused(settings: Json) -> None:
    """A server's random numbers are its own; one sample is no sampling, and at temperature 0 all are one."""
    server = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "student": "s", "init": "i", "teacher": "t"}
    with pytest.raises(ValidationError, match="cannot be drawn again"):
        HumanEval.model_validate({**settings, "backend": server, "sampling": DRAWN})
    for wrong in ({"samples": 1}, {"temperature": 0.0}, {"top_p": 0.0}, {"temperature": float("nan")}):
        with pytest.raises(ValidationError):
            HumanEval.model_validate({**settings, "sampling": {**DRAWN, **wrong}})
