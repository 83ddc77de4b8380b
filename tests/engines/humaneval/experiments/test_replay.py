"""Answers again: the released model's own come out, anybody else's do not, and verdicts are those of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import torch

from json_lines import read_rows
from problem_rows_of_all import PROBLEM_ROWS
from refute.disk import file_sha256
from refute.engines.humaneval.audit.answers import Respondent
from refute.engines.humaneval.audit.choice import greedily
from refute.engines.humaneval.audit.draw import Recorded, drawn, fresh_draw, run_sha256
from refute.engines.humaneval.audit.problem_file import read_tasks
from refute.engines.humaneval.audit.protocol import Questioner
from refute.engines.humaneval.experiments.evaluate import evaluate
from refute.engines.humaneval.experiments.replay import replay
from refute.engines.humaneval.problems.problems import Problem
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.humaneval import EvidenceModel

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
    """again(others_at_most=…) -> the rows of replay.jsonl, over `run`; other files lie beside it, in `replayed/`."""

    def replayed(**changes: object) -> list[Row]:
        config: Json = {
            "model": {"kind": "evidence", "name": "student"},
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


@pytest.mark.slow
def test_the_released_models_own_answers_come_again(again: Again, run: Path) -> None:
    """By the plainest means, token for token, of answers that were generated in batches; verdicts, too."""
    recorded = {row["task_id"]: row["completion"] for row in read_rows(run / "samples.jsonl")}
    assert len(recorded) == 3
    assert len(set(recorded.values())) > 1, "answers that can be told apart"
    found = again()
    assert {row["task_id"]: row["completion"] for row in found} == recorded
    assert all(row["completion"] == row["recorded"] and row["passed"] is row["recorded_passed"] for row in found)


@pytest.mark.slow
def test_problems_of_other_benchmarks_go_the_whole_way(
    desk: Desk, settings: Json, student: Path, tmp_path: Path
) -> None:
    """EvalPlus's and MBPP's own rows: answered, judged among canaries, answered and executed again."""
    path = tmp_path / "problems.json"
    path.write_text(json.dumps([row for kind, row in PROBLEM_ROWS.items() if kind != "HumanEval"]), encoding="utf-8")
    problems = {"path": path.name, "sha256": file_sha256(path)}
    config: Json = {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": {**settings, "problems": problems},
        "problems_path": str(path),
        "device": "cpu",
        "threads": 1,
    }
    evaluated = desk.job({**config, "limit": None}, "evaluated", student=student)
    evaluate(evaluated)
    assert {row["task_id"].partition("#")[2]: row["passed"] for row in read_rows(evaluated.out / "canaries.jsonl")} == {
        "right": True,
        "wrong": False,
    }
    job = desk.job({**config, "run": "humaneval_student"}, "replayed", student=student, humaneval_student=evaluated.out)
    replay(job)
    rows = read_rows(job.out / "replay.jsonl")
    assert {row["task_id"] for row in rows} == {"HumanEval/0", "MBPP/1", "Mbpp/1"}
    assert all(row["completion"] == row["recorded"] and row["passed"] is row["recorded_passed"] for row in rows)
    (known_bad,) = read_rows(job.out / "known_bad.jsonl")
    assert (known_bad["passed"], known_bad["recorded_passed"]) == (False, True)


@pytest.mark.slow
def test_an_answer_of_somebody_else_shows(again: Again, run: Path, problems: list[Problem]) -> None:
    """A reference solution in place of the model's answer: it passes, and it is not what the model says."""
    right = problems[0]
    solution = "\n" + right.canonical_solution
    change(run / "samples.jsonl", right.task_id, completion=solution)
    (row,) = [row for row in again() if row["task_id"] == right.task_id]
    assert row["recorded"] == solution != row["completion"]
    assert (row["passed"], row["recorded_passed"]) == (True, False), "executed here, not read off"


@pytest.mark.slow
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


@pytest.mark.slow
def test_only_so_many_others_are_replayed(again: Again) -> None:
    """What it costs is bounded."""
    assert len(again(others_at_most=2)) == 2


@pytest.mark.slow
def test_every_pass_is_executed_again_and_only_so_many_are_generated(
    again: Again, run: Path, problems: list[Problem]
) -> None:
    """Passes are the claim: the bound is one of generation."""
    for problem in problems:
        change(run / "samples.jsonl", problem.task_id, completion="\n" + problem.canonical_solution)
        change(run / "results.jsonl", problem.task_id, passed=True, outcome="passed")
    found = again(passes_at_most=1)
    assert [row["passed"] for row in found] == [True] * 3
    assert sum("completion" in row for row in found) == 1


@pytest.mark.slow
def test_what_a_model_was_asked_is_rebuilt_token_by_token(again: Again, run: Path, desk: Desk) -> None:
    """From tokenizer.json and the chat template, and the same limits; what the run noted where it called the model."""
    again()
    expected = read_rows(desk.root / "replayed" / "expected_calls.jsonl")
    calls = read_rows(run / "model_calls.jsonl")
    both = sorted(expected[0].keys() & calls[0].keys())
    assert {"prompt_ids", "max_new_tokens", "stop_sequences", "sampler", "temperature", "dtype"} <= set(both)
    assert [[row[key] for key in both] for row in calls] == [[row[key] for key in both] for row in expected]
    assert len(calls) == 3


@pytest.mark.slow
def test_the_instruments_are_shown_what_they_must_tell_apart(again: Again, desk: Desk) -> None:
    """An answer of this model comes again; a near miss neither is its answer nor passes."""
    again()
    (good,) = read_rows(desk.root / "replayed" / "known_good.jsonl")
    (bad,) = read_rows(desk.root / "replayed" / "known_bad.jsonl")
    assert good["completion"] == good["recorded"]
    assert good["passed"] is good["recorded_passed"]
    assert bad["completion"] != bad["recorded"]
    assert (bad["passed"], bad["recorded_passed"]) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize(("verdict", "words"), [(True, "every near miss|no near miss"), (False, "reference solution")])
def test_an_executor_that_says_one_thing_is_found_out(
    again: Again, monkeypatch: pytest.MonkeyPatch, verdict: bool, words: str
) -> None:
    """One that confirms everything, and one that confirms nothing."""
    monkeypatch.setattr("refute.engines.humaneval.experiments.replay.passes", lambda *_: verdict)
    with pytest.raises(ExperimentError, match=words):
        again()


def second(logits: torch.Tensor) -> list[int]:
    """Always the second most likely token."""
    return [int(logits.topk(2).indices[1])]


def test_an_answer_goes_on_as_recorded_where_tokens_tie_and_nowhere_else(student: Path, problem_file: Path) -> None:
    """Whatever is no near tie is another answer."""
    choice, folder = EvidenceModel(kind="evidence", name="student"), student / "model"
    (task, *_), questioner = read_tasks(problem_file).values(), Questioner(folder, "chat_primed")
    other = Respondent(choice, folder, "cpu", lambda _task: second).answer(task, questioner, 12, "")
    tied, untied = (Respondent(choice, folder, "cpu", greedily(tie)) for tie in (1e9, 1e-6))
    assert tied.answer(task, questioner, 12, other) == other
    assert untied.answer(task, questioner, 12, other) == untied.answer(task, questioner, 12, "") != other


@pytest.mark.slow
def test_random_weights_are_made_again(
    desk: Desk, settings: Json, config: Json, problem_file: Path, student: Path
) -> None:
    """From the same seed and shape: their answers come again, as anybody's."""
    model = {"kind": "random", "name": "student", "layers": 1, "seed": 17}
    evaluated = desk.job({**config, "model": model}, "evaluated", student=student)
    evaluate(evaluated)
    told = {"model": model, "run": "humaneval_null", "humaneval": settings, "problems_path": str(problem_file)}
    job = desk.job({**told, "threads": 1}, "replayed", student=student, humaneval_null=evaluated.out)
    replay(job)
    found = read_rows(job.out / "replay.jsonl")
    assert [row["completion"] for row in found] == [row["recorded"] for row in found]
    assert len(found) == 3


RECORDED = [Recorded(f"T/{n}", f"text {n}", passed=n < 5) for n in range(40)]


def test_a_draw_takes_every_pass_and_a_few_others() -> None:
    """All passes, so many of them generated; of the others so many, both ways."""
    chosen = drawn(fresh_draw(RECORDED, 2, 4, "bubblewrap"), RECORDED)
    assert sum(each.passed for each in chosen.executed) == 5
    assert len(chosen.executed) == 9
    assert len(chosen.generated) == 6


def test_nobody_knows_the_draw_beforehand() -> None:
    """Two draws over one run differ, and one draw is the same whoever makes it from what was written down."""
    one, other = fresh_draw(RECORDED, 2, 4, "bubblewrap"), fresh_draw(RECORDED, 2, 4, "bubblewrap")
    assert one.entropy != other.entropy
    assert one.run_sha256 == other.run_sha256
    assert drawn(one, RECORDED) == drawn(one, RECORDED[::-1]) != drawn(other, RECORDED)


def test_another_run_is_another_draw() -> None:
    """An answer or a verdict that is changed after the draw was made shows."""
    other = [replace(RECORDED[0], completion="other"), *RECORDED[1:]]
    assert run_sha256(other) != run_sha256(RECORDED) != run_sha256([replace(RECORDED[0], passed=False), *RECORDED[1:]])
