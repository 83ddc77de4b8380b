"""A run that may stop early: where it stops, in which order it asks, and that a kill does not change it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from json_lines import read_rows, write_rows
from refute.engines.humaneval.experiments.until_decided import evaluate_until_decided
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.scoring.early_stop import seeded_order
from refute.errors import ExperimentError, UsageError
from refute.falsifier.context import Context, Evidence
from refute.falsifier.loading import load_registry
from refute.spec.bars.sequential import Design, every

if TYPE_CHECKING:
    from humaneval_world import Desk

Json = dict[str, Any]
# Of three problems, none passed is enough to fall below 95 % at once, and two are to lie above 1 %.
HOPELESS, LOW = (Design(bar, 0.4, "pocock", every(1, 3)) for bar in (95.0, 1.0))


@pytest.fixture
def config(config: Json) -> Json:
    """A run of the evidence `student` by the hopeless bar."""
    return {**config, "sequential": HOPELESS.as_json()}


def as_evidence(folder: Path) -> Evidence:
    """The files of a run as a falsifier sees them."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    return Evidence("humaneval_sequential", "d" * 64, folder, files)


@pytest.mark.slow
def test_a_hopeless_model_is_asked_one_problem(
    desk: Desk, config: Json, student: Path, problems: list[Problem]
) -> None:
    """Nothing more is generated once the bar is out of reach, and the falsifier's interval lies below it."""
    evaluate_until_decided(desk.job(config, student=student))
    out = desk.root / "out"
    order = [problem.task_id for problem in seeded_order(problems, HOPELESS.seed)]
    assert [row["task_id"] for row in read_rows(out / "samples.jsonl")] == order[:1]
    assert [(row["task_id"], row["passed"]) for row in read_rows(out / "results.jsonl")] == [(order[0], False)]
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["problems"] == 1
    context = Context({"allowed_error_share": 0.0}, {"humaneval_sequential": as_evidence(out)})
    (found,) = load_registry([])["humaneval-pass-at-1-sequential"].measure(context)
    assert (found.value, found.n) == (0.0, 1)
    assert found.interval == HOPELESS.interval(0, 1)
    assert found.interval is not None
    assert found.interval.high < HOPELESS.bar


@pytest.mark.slow
def test_a_model_between_is_asked_everything_and_a_resumed_run_is_the_same(
    desk: Desk, config: Json, student: Path, problems: list[Problem]
) -> None:
    """What is never decided ends with the last problem; finished samples are not generated again."""
    whole = {**config, "sequential": LOW.as_json()}
    evaluate_until_decided(desk.job(whole, student=student))
    log = desk.root / "scratch" / "samples.jsonl"
    log.write_bytes(log.read_bytes()[: -len(log.read_bytes().splitlines()[-1]) // 2])
    desk.events.clear()
    evaluate_until_decided(desk.job(whole, "again", student=student))
    for name in ("samples.jsonl", "results.jsonl", "design.json"):
        assert (desk.root / "again" / name).read_bytes() == (desk.root / "out" / name).read_bytes()
    assert len(read_rows(desk.root / "out" / "results.jsonl")) == len(problems)


@pytest.mark.slow
def test_solved_problems_stop_it_above(desk: Desk, config: Json, student: Path, problems: list[Problem]) -> None:
    """Right answers in the log of finished samples: one is enough against a bar of 1 %."""
    whole = {**config, "sequential": LOW.as_json()}
    evaluate_until_decided(desk.job(whole, student=student))
    log = desk.root / "scratch" / "samples.jsonl"
    solutions = {problem.task_id: problem.canonical_solution for problem in problems}
    solved = [{**row, "completion": "\n" + solutions[row["task_id"]]} for row in read_rows(log)]
    write_rows(log, solved)
    evaluate_until_decided(desk.job(whole, "again", student=student))
    found = read_rows(desk.root / "again" / "results.jsonl")
    assert [row["passed"] for row in found] == [True]


def test_the_order_is_random_seeded_and_that_of_no_file(problems: list[Problem]) -> None:
    """The same for any order of the file, another for another seed."""
    many = [Problem(**{**asdict(problems[0]), "task_id": f"Own/{number}"}) for number in range(40)]
    order = seeded_order(many, 17)
    assert order == seeded_order(many[::-1], 17)
    assert order not in (many, seeded_order(many, 18))
    assert {each.task_id for each in order} == {each.task_id for each in many}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "judged"), [(0.34, 3), (0.3, None)])
def test_a_missing_answer_counts_against_the_model(
    desk: Desk, config: Json, student: Path, tokenizer: PreTrainedTokenizerFast, share: float, judged: int | None
) -> None:
    """Within the share of the problems that were put it failed; beyond it the run is an error, not a decision."""
    weights = student / "model" / "model.safetensors"
    tensors = load_file(weights)
    # Only in the prompt of the first problem, which is put last.
    tensors["model.embed_tokens.weight"][tokenizer.convert_tokens_to_ids("T")] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    whole = {**config, "sequential": LOW.as_json(), "allowed_error_share": share}
    if judged is None:
        with pytest.raises(ExperimentError, match=r"1 of 3 samples have no verdict .* 30 % may have none"):
            evaluate_until_decided(desk.job(whole, student=student))
        return
    evaluate_until_decided(desk.job(whole, student=student))
    found = read_rows(desk.root / "out" / "results.jsonl")
    assert [row["outcome"] for row in found] == ["failed", "failed", "error"]
    context = Context({"allowed_error_share": share}, {"humaneval_sequential": as_evidence(desk.root / "out")})
    (measured,) = load_registry([])["humaneval-pass-at-1-sequential"].measure(context)
    assert (measured.value, measured.n) == (0.0, judged)
    assert measured.interval is not None
    assert measured.interval.method.endswith("3 of 3 problems; 1 without a verdict taken at their worst")


def test_another_number_of_problems_is_refused(desk: Desk, config: Json, student: Path) -> None:
    """A rule about 164 problems says nothing about three."""
    rule = Design(15.0, 0.05, "pocock", every(8, 164)).as_json()
    with pytest.raises(UsageError, match="about 164 problems, this release puts 3"):
        evaluate_until_decided(desk.job({**config, "sequential": rule}, student=student))
    assert desk.events == []


@pytest.mark.parametrize("change", ["order", "error", "more", "fewer"])
def test_rows_that_are_not_such_a_run_are_no_measurement(tmp_path: Path, change: str, problems: list[Problem]) -> None:
    """Another order, a problem without verdict, or another end than the design gives."""
    design = Design(50.0, 0.4, "pocock", every(1, 8))
    order = [f"Own/{number}" for number in range(8)]
    ends = next(look.n for look in design.boundaries() if look.stop_at_most >= 0)
    found = [{"task_id": task, "passed": False, "outcome": "failed"} for task in order[:ends]]
    match change:
        case "order":
            found[0]["task_id"] = order[-1]
        case "error":
            found[0]["outcome"] = "error"
        case "more":
            found.append({"task_id": order[ends], "passed": False, "outcome": "failed"})
        case "fewer":
            found.pop()
    (tmp_path / "design.json").write_text(json.dumps({**design.as_json(), "order": order}), encoding="utf-8")
    write_rows(tmp_path / "results.jsonl", found)
    context = Context({"allowed_error_share": 0.0}, {"humaneval_sequential": as_evidence(tmp_path)})
    message = {
        "order": "order of the design",
        "error": r"1 of \d+ have no verdict",
        "more": "yet",
        "fewer": "neither decided|one result",
    }
    with pytest.raises(ValueError, match=message[change]):
        list(load_registry([])["humaneval-pass-at-1-sequential"].measure(context))
