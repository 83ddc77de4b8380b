"""The two experiments end to end on a tiny model, with kills, changed files and missing parts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from json_lines import read_rows, write_rows
from refute.engines.humaneval.experiments.evaluate import calibrate, evaluate
from refute.engines.humaneval.experiments.replay import replay
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.sandbox import tiers as sandbox
from refute.engines.humaneval.sandbox.tiers import Isolation
from refute.errors import DigestMismatchError, ExperimentError, NonFiniteError, UsageError

if TYPE_CHECKING:
    from humaneval_world import Desk

pytestmark = pytest.mark.slow

Json = dict[str, object]


def answer(desk: Desk, problem: Problem) -> None:
    """Put the right answer to `problem` among the finished samples."""
    path = desk.root / "scratch" / "samples.jsonl"
    found = read_rows(path)
    for row in found:
        if row["task_id"] == problem.task_id:
            row["completion"] = "\n" + problem.canonical_solution
    write_rows(path, found)


def test_evaluation_writes_samples_results_and_summary(
    desk: Desk, config: Json, student: Path, problems: list[Problem], problem_file: Path
) -> None:
    """One sample and one verdict a problem, in file order, and a summary that agrees with them."""
    evaluate(desk.job(config, student=student))
    out = desk.root / "out"
    samples, results = read_rows(out / "samples.jsonl"), read_rows(out / "results.jsonl")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    tasks = [problem.task_id for problem in problems]
    assert [row["task_id"] for row in samples] == tasks
    assert [row["task_id"] for row in results] == tasks
    assert {*samples[0]} == {"task_id", "completion", "new_tokens", "stop", "sample"}
    assert {*results[0]} == {"task_id", "passed", "outcome", "detail"}
    assert summary["problems"] == 3
    assert summary["passed"] == 0
    assert sum(summary["outcomes"].values()) == sum(summary["stops"].values()) == 3
    assert summary["truncated"] == sum(row["stop"] == "length" for row in samples)
    assert summary["generated_tokens"] == sum(row["new_tokens"] for row in samples)
    assert summary["problems_sha256"] == hashlib.sha256(problem_file.read_bytes()).hexdigest()
    assert summary["effective_sampler"]["temperature"] == 0.0
    last = {event.stage: (event.step, event.total) for event in desk.events}
    assert last == {"generate": (3, 3), "execute": (9, 9)}  # three right and three wrong canaries among them


def test_a_right_answer_counts_one_problem(desk: Desk, config: Json, student: Path, problems: list[Problem]) -> None:
    """The prompt's import is part of the program, and pass@1 is the share of passing problems."""
    evaluate(desk.job(config, student=student))
    answer(desk, problems[2])
    evaluate(desk.job(config, "again", student=student))
    summary = json.loads((desk.root / "again" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["passed"], summary["pass_at_1"]) == (1, 1 / 3)
    results = read_rows(desk.root / "again" / "results.jsonl")
    assert [row["passed"] for row in results] == [False, False, True]


def test_a_killed_run_resumes_to_the_same_samples(desk: Desk, config: Json, student: Path) -> None:
    """After a kill in the middle of a line, whole samples are kept and the outputs are those of one run."""
    evaluate(desk.job(config, student=student))
    log = desk.root / "scratch" / "samples.jsonl"
    log.write_bytes(log.read_bytes()[: -len(log.read_bytes().splitlines()[-1]) // 2])
    desk.events.clear()
    evaluate(desk.job(config, "again", student=student))
    assert desk.events[0].step == 2
    for name in ("samples.jsonl", "results.jsonl"):
        assert (desk.root / "again" / name).read_bytes() == (desk.root / "out" / name).read_bytes()


def test_samples_of_another_configuration_are_not_reused(
    desk: Desk, config: Json, settings: Json, student: Path, problems: list[Problem]
) -> None:
    """A changed token budget makes every old sample worthless."""
    evaluate(desk.job(config, student=student))
    answer(desk, problems[2])
    evaluate(desk.job({**config, "humaneval": {**settings, "max_new_tokens": 11}}, "again", student=student))
    summary = json.loads((desk.root / "again" / "summary.json").read_text(encoding="utf-8"))
    assert summary["passed"] == 0


def test_null_model_is_seeded_random_weights(desk: Desk, config: Json, student: Path) -> None:
    """The same seed gives the same samples, another seed others, and neither those of the model itself."""
    found = {}
    for out, seed in (("a", 17), ("b", 17), ("c", 18)):
        (desk.root / "scratch" / "samples.jsonl").unlink(missing_ok=True)
        model = {"kind": "random", "name": "student", "layers": 1, "seed": seed}
        evaluate(desk.job({**config, "model": model, "limit": 2}, out, student=student))
        found[out] = (desk.root / out / "samples.jsonl").read_bytes()
    evaluate(desk.job({**config, "limit": 2}, "itself", student=student))
    assert found["a"] == found["b"]
    assert len({*found.values(), (desk.root / "itself" / "samples.jsonl").read_bytes()}) == 3
    assert len(read_rows(desk.root / "a" / "samples.jsonl")) == 2


def test_too_weak_isolation_ends_before_anything_is_generated(
    desk: Desk, config: Json, settings: Json, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A demanded tier that the machine lacks is an error, not a run on a lower tier."""
    monkeypatch.setattr(sandbox, "probe_isolation", lambda: Isolation.RLIMITS)
    demanding = {**config, "humaneval": {**settings, "minimum_isolation": "seccomp"}}
    with pytest.raises(ExperimentError, match=r"isolation 'seccomp' or stronger.*'rlimits'"):
        evaluate(desk.job(demanding, student=student))
    assert desk.events == []


def test_changed_problem_file_is_refused(desk: Desk, config: Json, student: Path, problem_file: Path) -> None:
    """Problems that are not those the release names are not scored."""
    text = problem_file.read_text(encoding="utf-8")
    problem_file.write_text(text.replace("range(3)", "range(0)"), encoding="utf-8")
    with pytest.raises(DigestMismatchError, match="the release names"):
        evaluate(desk.job(config, student=student))


def test_a_program_without_verdict_is_an_error_and_not_a_zero(desk: Desk, settings: Json, problem_file: Path) -> None:
    """A test that never calls the function says nothing about the answer."""
    text = problem_file.read_text(encoding="utf-8")
    problem_file.write_text(text.replace("range(3)", "range(0)", 1), encoding="utf-8")
    digest = hashlib.sha256(problem_file.read_bytes()).hexdigest()
    own = {**settings, "problems": {"path": "own.jsonl", "sha256": digest}}
    with pytest.raises(ExperimentError, match=r"1 of 3 programs got no verdict.*Own/0"):
        calibrate(desk.job({"humaneval": own, "problems_path": str(problem_file)}))
    assert not (desk.root / "out" / "calibration.json").exists()


@pytest.fixture
def dumb_student(student: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """The student, with NaN in the embedding of a letter that only the first problem contains."""
    weights = student / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.embed_tokens.weight"][tokenizer.convert_tokens_to_ids("T")] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    return student


def test_the_first_inference_error_ends_a_run_that_allows_none(desk: Desk, config: Json, dumb_student: Path) -> None:
    """It is no zero: nothing is written that looks like a score."""
    with pytest.raises(NonFiniteError, match="Own/0: the logits of new token 1 are NaN"):
        evaluate(desk.job(config, student=dumb_student))
    with pytest.raises(ExperimentError, match=r"1 of 3 .* \(33.3 %\), 30 % may have none; the last: Own/0"):
        evaluate(desk.job({**config, "allowed_error_share": 0.3}, "again", student=dumb_student))
    assert not list(desk.root.glob("*/results.jsonl"))


def test_within_the_share_the_others_are_answered_and_judged(
    desk: Desk, config: Json, dumb_student: Path, student: Path, problems: list[Problem], problem_file: Path
) -> None:
    """The error keeps its place and its reason, is no pass, and a resumed run, canaries and replay live with it."""
    whole = {**config, "allowed_error_share": 0.34}
    evaluate(desk.job(whole, student=dumb_student))
    answer(desk, problems[2])
    evaluate(desk.job(whole, "again", student=dumb_student))
    out = desk.root / "again"
    results, summary = read_rows(out / "results.jsonl"), json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [(row["task_id"], row["passed"], row["outcome"]) for row in results] == [
        ("Own/0", False, "error"), ("Own/1", False, "failed"), ("Own/2", True, "passed"),
    ]  # fmt: skip
    assert "NaN" in str(results[0]["detail"])
    assert [row["task_id"] for row in read_rows(out / "samples.jsonl")] == ["Own/1", "Own/2"]
    assert (summary["errors"], summary["passed"], summary["pass_at_1"]) == (1, 1, 1 / 3)
    assert {str(row["task_id"]).split("#")[0] for row in read_rows(out / "canaries.jsonl")} == {"Own/1", "Own/2"}
    again = {
        "model": config["model"],
        "run": "run",
        "humaneval": config["humaneval"],
        "problems_path": str(problem_file),
        "threads": 1,
    }
    replay(desk.job(again, "replay", student=student, run=out))
    assert {row["task_id"] for row in read_rows(desk.root / "replay" / "replay.jsonl")} == {"Own/1", "Own/2"}


def test_a_replay_wants_an_answer_to_everything_that_was_judged(
    desk: Desk, config: Json, student: Path, problem_file: Path
) -> None:
    """An answer without a result was left out, and a result without an answer was made up."""
    evaluate(desk.job(config, student=student))
    out = desk.root / "out"
    again = {
        "model": config["model"],
        "run": "run",
        "humaneval": config["humaneval"],
        "problems_path": str(problem_file),
    }
    for file in ("results.jsonl", "samples.jsonl"):
        text = (out / file).read_text(encoding="utf-8")
        (out / file).write_text("".join(text.splitlines(keepends=True)[1:]), encoding="utf-8")
        with pytest.raises(ExperimentError, match="are not of one run"):
            replay(desk.job(again, f"without {file}", student=student, run=out))
        (out / file).write_text(text, encoding="utf-8")


def test_unknown_configuration_key_is_named(desk: Desk, config: Json, student: Path) -> None:
    """A misspelt key is an error, not a default."""
    with pytest.raises(UsageError, match=r"humaneval_test(.|\n)*limits"):
        evaluate(desk.job({**config, "limits": 3}, student=student))


def test_calibration_passes_right_answers_and_no_forgery(desk: Desk, settings: Json, problem_file: Path) -> None:
    """Canonical solutions all pass, every other kind fails on every problem, and a loop times out."""
    calibrate(desk.job({"humaneval": {**settings, "timeout_s": 3.0}, "problems_path": str(problem_file)}))
    found = json.loads((desk.root / "out" / "calibration.json").read_text(encoding="utf-8"))
    passed = {kind: each["passed"] for kind, each in found.items() if isinstance(each, dict)}
    assert passed == {"canonical": 3, "empty": 0, "always_equal": 0, "system_exit": 0, "os_exit": 0}
    assert found["loop_outcome"] == "timeout"
    for kind in passed:
        assert len(read_rows(desk.root / "out" / f"results_{kind}.jsonl")) == found[kind]["problems"] == 3
    details = [row["detail"] for row in read_rows(desk.root / "out" / "results_empty.jsonl")]
    assert not any("IndentationError" in detail or "SyntaxError" in detail for detail in details)
    missed = read_rows(desk.root / "out" / "results_near_miss.jsonl")
    assert len(missed) > 0
    assert not any(row["passed"] for row in missed)
