"""What the built-in falsifiers measure on evidence that is odd, hostile, or just at a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builtin_uses import REGISTRY, TASKS, USES, evidence, results
from refute import Measurement, stats
from refute.falsifier.context import Context, Evidence
from refute.humaneval import pass_at_k
from refute.spec.bars.decide import control_outcome


def call(name: str, **found: Evidence) -> dict[str, Measurement]:
    """The measurements of falsifier `name` on this evidence, by name."""
    parameters = dict(REGISTRY[name].parameters)
    return {each.name: each for each in REGISTRY[name].measure(Context(parameters, found))}


def scored(folder: Path, name: str, rows: list[dict[str, object]]) -> Evidence:
    """Evidence of a HumanEval run."""
    return evidence(folder, name, {"results.jsonl": rows})


@pytest.mark.parametrize(
    "row",
    [
        {"passed": True, "outcome": "failed"},
        {"passed": False, "outcome": "passed"},
        {"passed": "true", "outcome": "passed"},
        {"passed": 1, "outcome": "passed"},
        {"passed": None, "outcome": "passed"},
    ],
)
def test_only_a_positive_pass_is_one(tmp_path: Path, row: dict[str, object]) -> None:
    """Flag and outcome must agree: half a pass is none."""
    student = scored(tmp_path, "humaneval_student", [{"task_id": task, **row} for task in TASKS])
    assert call("humaneval-pass-at-1", humaneval_student=student)["pass_at_1"].value == 0
    gain = call(
        "humaneval-gain", humaneval_student=student, humaneval_init=scored(tmp_path, "humaneval_init", results(()))
    )
    assert gain["won_share"].interval is not None
    assert (gain["won_share"].interval.low, gain["won_share"].interval.high) == (0, 100)


@pytest.mark.parametrize("name", ["humaneval-pass-at-1", "humaneval-complete", "null-model", "teacher-scores"])
@pytest.mark.parametrize("rows", [[], [*results(range(9)), results(range(9))[0]]])
def test_no_result_and_two_of_one_problem_are_refused(name: str, rows: list[dict[str, object]], tmp_path: Path) -> None:
    """Neither an empty file nor a problem counted twice is a score."""
    (need,) = [each for each in REGISTRY[name].needs if each != "humaneval_calibration"]
    with pytest.raises(ValueError, match="must have one result a problem"):
        call(name, **{need: scored(tmp_path, need, rows)})


def test_models_must_be_given_the_same_problems(tmp_path: Path) -> None:
    """A student compared on the problems that suit it is not compared."""
    student = scored(tmp_path, "humaneval_student", results(range(30))[:50])
    with pytest.raises(ValueError, match="not given the same problems"):
        call(
            "humaneval-gain", humaneval_student=student, humaneval_init=scored(tmp_path, "humaneval_init", results(()))
        )


@pytest.mark.parametrize(
    ("gained", "lost", "outcome"),
    [(6, 0, "corroborated"), (5, 0, "inconclusive"), (0, 6, "falsified"), (0, 0, "inconclusive")],
)
def test_a_gain_needs_an_exact_test(gained: int, lost: int, outcome: str, tmp_path: Path) -> None:
    """Six of six discordant problems are p = 0.031, five of five are p = 0.0625; a copy of the init is open."""
    (use,) = [use for use in USES if use.uses == "humaneval-gain"]
    student = scored(tmp_path, "humaneval_student", results(range(10, 20 + gained)))
    init = scored(tmp_path, "humaneval_init", results([*range(10, 20), *range(100, 100 + lost)]))
    found = call("humaneval-gain", humaneval_student=student, humaneval_init=init)
    assert control_outcome(use, tuple(found.values()))[0] == outcome


@pytest.mark.parametrize(
    ("passed", "outcome"),
    [
        (34, "corroborated"),
        (33, "inconclusive"),
        (25, "inconclusive"),
        (16, "inconclusive"),
        (15, "falsified"),
        (0, "falsified"),
    ],
)
def test_the_whole_interval_must_clear_15_percent(passed: int, outcome: str, tmp_path: Path) -> None:
    """25 of 164 is the point, and proves nothing."""
    (use,) = [use for use in USES if use.id == "F-HUMANEVAL-V2-001"]
    found = call("humaneval-pass-at-1", humaneval_student=scored(tmp_path, "humaneval_student", results(range(passed))))
    assert control_outcome(use, tuple(found.values()))[0] == outcome


def probe(folder: Path, provider: Any, reference: Any) -> Evidence:
    """Evidence of a teacher probe whose summary claims agreement."""
    facts = {"max_abs": 0.0, "second_forward_max_abs": 0.0, "positions": 8}
    arrays = {"provider": provider, "reference": reference, "input_ids": np.zeros((2, 4), np.int32)}
    return evidence(folder, "teacher_probe", {"probe.safetensors": arrays, "probe.json": facts})


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    """numpy would compare one position with many, and find the one that fits."""
    logits = np.ones((2, 4, 8), np.float32)
    with pytest.raises(ValueError, match="provider has shape"):
        call("teacher-parity", teacher_probe=probe(tmp_path, logits, logits[:, :1].copy()))


def test_nan_logits_are_no_agreement(tmp_path: Path) -> None:
    """The measurement is not finite, which is an error wherever it is settled."""
    logits = np.ones((2, 4, 8), np.float32)
    broken = logits.copy()
    broken[1, 2, 3] = np.nan
    with np.errstate(invalid="ignore"):
        found = call("teacher-parity", teacher_probe=probe(tmp_path, broken, logits))
    assert np.isnan(found["max_abs_difference"].value)


def test_one_text_in_two_integer_types_is_one_text(tmp_path: Path) -> None:
    """Held-out windows that were trained on are found whatever type their ids are stored in."""
    tokens = np.arange(64, dtype=np.int32).reshape(4, 16)
    files = {
        "train.safetensors": {"tokens": tokens},
        "heldout.safetensors": {"tokens": tokens[:2].astype(np.int64)},
        "manifest.json": {"files": [], "benchmark_selfcheck": {"problems": 164, "rejected": 164}},
    }
    assert call("corpus-hygiene", corpus=evidence(tmp_path, "corpus", files))["shared_windows"].value == 2


def test_the_first_evaluation_must_be_before_the_first_step(tmp_path: Path) -> None:
    """KL of a trained student says nothing about teacher and init."""
    model = {"sha256": "1" * 64, "parameters": 2, "layers": 2}
    both = {"teacher": model, "init": {**model, "parameters": 1}}
    lineage = evidence(tmp_path, "lineage", {"lineage.json": both})
    init_redo = evidence(tmp_path, "init_redo", {"again.json": both})
    student = evidence(tmp_path, "student", {"evals.jsonl": [{"step": 50, "heldout_kl": 1.0, "windows": 8}]})
    with pytest.raises(ValueError, match="first evaluation is of step 50, expected step 0"):
        call("teacher-divergence", lineage=lineage, student=student, init_redo=init_redo)


def test_a_run_of_the_command_may_be_the_release_before(tmp_path: Path) -> None:
    """`refute eval humaneval` says in generation.json how it asked; results alone, or asked otherwise, are refused."""
    asked = {"protocol": "completion", "system_prompt": None}
    rows = results(range(30))
    student = evidence(tmp_path, "humaneval_student", {"results.jsonl": rows, "summary.json": asked})

    def against(**files: object) -> float:
        before = evidence(tmp_path / str(len(files)), "humaneval_previous", {"results.jsonl": rows, **files})
        found = call("humaneval-against-previous", humaneval_student=student, humaneval_previous=before)
        return found["difference"].value

    of_the_command = {"summary.json": {"generation": asked}, "generation.json": {**asked, "retries": 0}}
    assert against(**of_the_command) == 0
    with pytest.raises(ValueError, match="does not say by which protocol"):
        against()
    with pytest.raises(ValueError, match="not comparable"):
        against(**{"summary.json": {**asked, "protocol": "chat_answer"}})


def test_the_student_is_held_against_its_teacher_problem_by_problem(tmp_path: Path) -> None:
    """Three lost and one gained of 164 are 1.2 points less, with an interval of pairs."""
    asked = {"protocol": "chat_primed", "system_prompt": None}
    pair = {"humaneval_student": results({0, 1, 9}), "humaneval_teacher": results({0, 1, 2, 3, 4})}
    models = {
        name: evidence(tmp_path, name, {"results.jsonl": rows, "summary.json": asked}) for name, rows in pair.items()
    }
    found = call("humaneval-against-teacher", **models)["difference"]
    assert found.value == pytest.approx(100 * -2 / 164)
    assert found.n == 164
    assert found.interval is not None
    assert -5 < found.interval.low < found.value < found.interval.high


def test_the_distance_to_the_teacher_is_no_loss_with_the_data(tmp_path: Path) -> None:
    """The mean KL of the windows, and not their cross-entropy."""
    rows = [{"window": n, "ce": 5.0, "ce_initial": 6.0, "kl": 0.5 + 0.25 * (n % 3)} for n in range(6)]
    places = [{"window": n, "file": f"{n}.py", "stated": f"{n}.py"} for n in range(6)]
    found = {
        "student": evidence(tmp_path, "student", {"heldout_windows.jsonl": rows}),
        "heldout_places": evidence(tmp_path, "heldout_places", {"places.jsonl": places}),
    }
    assert call("held-out-kl", **found)["heldout_kl"].value == pytest.approx(0.75)
    assert call("held-out-loss", **found)["heldout_ce"].value == pytest.approx(5.0)


def test_samples_of_a_problem_make_an_unbiased_estimate_and_an_interval_over_problems(tmp_path: Path) -> None:
    """pass@k as `refute.humaneval` has it; what no sample solves still may be solved, as of so many problems."""
    passes = [0, 1, 3, 8, 2]
    rows: list[dict[str, object]] = [
        {"task_id": f"T/{n}", "sample": sample, "passed": sample < c, "outcome": "passed" if sample < c else "failed"}
        for n, c in enumerate(passes)
        for sample in range(8)
    ]
    for k in (1, 2, 8):
        context = Context(
            {"k": k, "allowed_error_share": 0.0}, {"humaneval_sampled": scored(tmp_path, "humaneval_sampled", rows)}
        )
        (found,) = REGISTRY["humaneval-pass-at-k"].measure(context)
        assert found.value == pytest.approx(100 * sum(pass_at_k(8, c, k) for c in passes) / 5)
        assert found.n == 5
    none = [row | {"passed": False, "outcome": "failed"} for row in rows]
    found = call("humaneval-pass-at-k", humaneval_sampled=scored(tmp_path, "humaneval_sampled", none))["pass_at_k"]
    assert found.interval is not None
    assert found.interval.high > stats.wilson_interval(0, 5).high, "not as of 40 problems"
