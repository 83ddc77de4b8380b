"""Does the run's own account of itself hold against the same things done by other means?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

# ------------------------------------------------------------------------------------------------ the first step

_EPSILON = 1e-8  # AdamW's own, torch's default
_TRAINING = {
    "batch_size": 2,
    "seq_len": 5,
    "learning_rate": 1e-3,
    "warmup_steps": 4,
    "weight_decay": 0.5,
    "steps": 20,
}


def _step(
    bench: Bench,
    *,
    gradient: float = 1.0,
    rate: float = 1.0,
    lost: int = 0,
    batches: str = "abcd",
    first: int = 1,
    warmup: int = 4,
    **row: float | None,
) -> None:
    """A first step as it should be: `gradient` and `rate` scale what the optimiser had, `lost` entries are none."""
    chance = np.random.default_rng(17)
    peak = float(_TRAINING["learning_rate"]) / max(warmup, 1)
    own: dict[str, NDArray[Any]] = {}
    audited: dict[str, NDArray[Any]] = {}
    # A matrix decays; a norm and a bias do not. Weights lean with their gradients, so that decay shows.
    for name, decay, size in (("q.weight", 0.5, 2.0), ("norm.weight", 0.0, 3.0), ("q.bias", 0.0, 3.0)):
        slope = chance.normal(0.0, 1.0, 64).astype(np.float32)
        weights = (np.sign(slope) * np.abs(chance.normal(size, size / 4, 64))).astype(np.float32)
        had = (slope * gradient).astype(np.float32)
        had[:lost] = 0.0
        step = had.astype(np.float64) / (np.abs(had) + _EPSILON) + decay * weights
        own[f"gradient/{name}"], own[f"after/{name}"] = had, (weights - rate * peak * step).astype(np.float32)
        audited[f"gradient/{name}"], audited[f"before/{name}"] = slope, weights
    run = str(bench.parameters["run"])
    bench.put_arrays(run, "first_step.safetensors", own)
    bench.put_arrays(f"{run}_redo", "first_step.safetensors", audited)
    logged = {"ce": 3.0, "kl": 0.5, "total": 2.3, "tokens": 8} | row
    rows = [logged | {"step": n, "batch_sha256": b} for n, b in enumerate(batches, first)]
    bench.put(run, "metrics.jsonl", rows)
    due = [{"step": n, "batch_sha256": b} for n, b in enumerate("abcd", first)]
    bench.put(f"{run}_redo", "batches.jsonl", due)
    right = {"ce": 3.0, "kl": 0.0 if row.get("kl", 0.5) is None else 0.5, "total": 2.3, "tokens": 8}
    bench.put(f"{run}_redo", "first_step.json", right)
    bench.put("release", "release.json", {"distillation": {"training": _TRAINING | {"warmup_steps": warmup}}})


def a_first_step_as_declared(bench: Bench) -> None:
    """The declared loss, its gradient, and AdamW's step at the declared rate."""
    _step(bench)


def a_gradient_of_half_the_batch(bench: Bench) -> None:
    """The loss of the whole batch is logged, the gradient of a part of it applied."""
    _step(bench, lost=32)


def a_gradient_uphill(bench: Bench) -> None:
    """The sign is wrong."""
    _step(bench, gradient=-1.0)


def a_rate_never_passed_on(bench: Bench) -> None:
    """The optimiser keeps the rate that it was made with."""
    _step(bench, rate=4.0)


def weights_that_stay(bench: Bench) -> None:
    """The optimiser has the gradient and does not step."""
    _step(bench, rate=0.0)


def a_kl_to_another_teacher(bench: Bench) -> None:
    """The KL of the first batch is not the KL to the released teacher."""
    _step(bench, kl=0.9)


def a_cross_entropy_of_other_labels(bench: Bench) -> None:
    """The cross-entropy of the first batch is not that of its text."""
    _step(bench, ce=5.7)


def a_total_of_other_weights(bench: Bench) -> None:
    """Both parts are right, their sum is another."""
    _step(bench, total=1.25)


def one_batch_over_and_over(bench: Bench) -> None:
    """Every step sees the batch of the first."""
    _step(bench, batches="aaaa")


def a_step_with_labels_of_its_own(bench: Bench) -> None:
    """One batch is not that of the corpus."""
    _step(bench, batches="abxd")


def a_step_too_many(bench: Bench) -> None:
    """One batch more than was declared."""
    _step(bench, batches="abcde")


def a_gradient_in_bfloat16(bench: Bench) -> None:
    """Three per cent off, as rounding may make it."""
    _step(bench, gradient=1.03)


def no_warm_up(bench: Bench) -> None:
    """The first step is at the full rate."""
    _step(bench, warmup=0)


def no_teacher(bench: Bench) -> None:
    """Cross-entropy alone: there is no KL in the log."""
    _step(bench, kl=None)


def a_log_that_begins_later(bench: Bench) -> None:
    """The row of the first step is lost."""
    _step(bench, first=2)


def a_step_that_is_missing(bench: Bench) -> None:
    """The last batch was never given."""
    _step(bench, batches="abc")


_FIRST_STEP: dict[str, Any] = {
    "measures": {
        "loss_error": "nat/token",
        "gradient_error": "relative",
        "rate_error": "relative",
        "foreign_batches": "steps",
    },
    "controls": (
        known_good(a_first_step_as_declared),
        known_bad(a_gradient_of_half_the_batch),
        known_bad(a_gradient_uphill),
        known_bad(a_rate_never_passed_on),
        known_bad(weights_that_stay),
        known_bad(a_kl_to_another_teacher),
        known_bad(a_cross_entropy_of_other_labels),
        known_bad(a_total_of_other_weights),
        known_bad(one_batch_over_and_over),
        known_bad(a_step_with_labels_of_its_own),
        known_bad(a_step_that_is_missing),
        known_bad(a_step_too_many),
        known_good(a_gradient_in_bfloat16),
        known_good(no_warm_up),
        known_good(no_teacher),
        known_unusable(a_log_that_begins_later, raises=ValueError),
    ),
}


@falsifier("first-step", needs=("student", "student_redo", "release"), parameters={"run": "student"}, **_FIRST_STEP)
@falsifier(
    "control-first-step",
    needs=("ce_control", "ce_control_redo", "release"),
    parameters={"run": "ce_control"},
    **_FIRST_STEP,
)
def first_step(context: Context) -> Iterator[Measurement]:
    """Refuted when loss, gradient or rate of the first step are not the declared ones, or any step had another batch.

    `rate_error` is the least-squares scale of the step that was made against AdamW's first step (Loshchilov & Hutter
    2019, arXiv:1711.05101) at the declared rate, minus 1.
    """
    name = str(context.parameters["run"])
    student, audit = context.evidence(name), context.evidence(f"{name}_redo")
    training = context.evidence("release").json("release.json")["distillation"]["training"]
    rows, expected = student.rows("metrics.jsonl"), audit.json("first_step.json")
    row, given = rows[0], {each["step"]: each["batch_sha256"] for each in rows}
    due = {each["step"]: each["batch_sha256"] for each in audit.rows("batches.jsonl")}
    foreign = sum(due.get(step) != given.get(step) for step in due.keys() | given.keys())
    yield Measurement("foreign_batches", foreign, "steps", n=len(due))
    if row["step"] != 1:
        raise ValueError(f"the first row of metrics.jsonl is of step {row['step']}, expected step 1")
    parts = [(row[each], expected[each]) for each in ("ce", "kl", "total")]
    wrong = max(abs((found or 0.0) - right) for found, right in parts)
    yield Measurement("loss_error", wrong, "nat/token", n=expected["tokens"])
    own, theirs = student.arrays("first_step.safetensors"), audit.arrays("first_step.safetensors")
    gradient, right = _together(own, "gradient/"), _together(theirs, "gradient/")
    error = float(np.linalg.norm(gradient - right) / np.linalg.norm(right))
    yield Measurement("gradient_error", error, "relative", n=len(right))
    before, after = _together(theirs, "before/"), _together(own, "after/")
    matrix = np.concatenate([np.full(len(own[each]), _decays(each)) for each in _names(own, "gradient/")])
    whole = gradient / (np.abs(gradient) + _EPSILON) + training["weight_decay"] * matrix * before
    made = before - after
    scale = float(made @ whole / (whole @ whole)) / _first_rate(training)
    yield Measurement("rate_error", abs(scale - 1.0), "relative", n=len(made))


def _names(arrays: dict[str, NDArray[Any]], kind: str) -> list[str]:
    return sorted(name for name in arrays if name.startswith(kind))


def _together(arrays: dict[str, NDArray[Any]], kind: str) -> Array:
    found: Array = np.concatenate([arrays[name].astype(np.float64) for name in _names(arrays, kind)])
    return found


def _decays(name: str) -> float:
    """Vectors (norms, biases) do not decay. Told by name: a sample of a matrix has no shape."""
    return 0.0 if "norm" in name or name.endswith("bias") else 1.0


def _first_rate(training: dict[str, Any]) -> float:
    return float(training["learning_rate"]) / max(int(training["warmup_steps"]), 1)


# ------------------------------------------------------------------------------------------------ the released files


def _account(
    bench: Bench,
    *,
    initial: float = 0.0,
    final: float = 0.0,
    unchanged: int = 0,
    log: float = 0.0,
    first: float = 0.0,
    only: int | None = None,
) -> None:
    run = str(bench.parameters["run"])
    windows = [{"window": n, "ce_initial": 4.0 + n, "ce": 2.0 + n, "kl": 0.5} for n in range(6)]
    bench.put(run, "heldout_windows.jsonl", windows)
    evals = [
        {"step": 0, "heldout_ce": 6.5 + first, "heldout_kl": 2.0},
        {"step": 9, "heldout_ce": 4.5 + log, "heldout_kl": 0.5},
    ]
    bench.put(run, "evals.jsonl", evals)
    bench.put(run, "summary.json", {"model_step": 9})
    rows = [
        {
            "window": n,
            "ce_initial": 4.0 + n + initial * (only in (None, n)),
            "ce": 2.0 + n + final * (only in (None, n)),
        }
        for n in range(4)
    ]
    bench.put(f"{run}_audit", "heldout.jsonl", rows)
    bench.put(f"{run}_audit", "tensors.json", {"tensors": 9, "unchanged": unchanged})


def an_account_that_holds(bench: Bench) -> None:
    """The files score what the run says, and every tensor differs from the init's."""
    _account(bench)


def files_of_another_model(bench: Bench) -> None:
    """The released weights do not have the loss that the run ended with."""
    _account(bench, final=0.5)


def a_run_that_began_elsewhere(bench: Bench) -> None:
    """The loss before the first step is not the init's: it was replaced by random weights."""
    _account(bench, initial=-3.0)


def the_init_in_the_folder(bench: Bench) -> None:
    """The run counts changed tensors; the released files are the init's."""
    _account(bench, unchanged=9)


def a_curve_of_another_loss(bench: Bench) -> None:
    """The curve over the run ends with the training loss, not the held-out one."""
    _account(bench, log=-1.0)


def a_curve_that_begins_too_high(bench: Bench) -> None:
    """The curve begins above the loss of the init, so that it can fall."""
    _account(bench, first=1.0)


def a_curve_that_begins_too_low(bench: Bench) -> None:
    """The curve begins below the loss of the init."""
    _account(bench, first=-1.0)


def one_window_of_another_model(bench: Bench) -> None:
    """All windows but one score what the run says."""
    _account(bench, initial=0.5, final=0.5, only=2)


_RELEASED: dict[str, Any] = {
    "measures": {
        "initial_difference": "nat/token",
        "final_difference": "nat/token",
        "curve_difference": "nat/token",
        "unchanged_tensors": "tensors",
    },
    "controls": (
        known_good(an_account_that_holds),
        known_bad(files_of_another_model),
        known_bad(a_run_that_began_elsewhere),
        known_bad(the_init_in_the_folder),
        known_bad(a_curve_of_another_loss),
        known_bad(a_curve_that_begins_too_high),
        known_bad(a_curve_that_begins_too_low),
        known_bad(one_window_of_another_model),
    ),
}


@falsifier("released-files", needs=("student", "student_audit"), parameters={"run": "student"}, **_RELEASED)
@falsifier(
    "control-released-files", needs=("ce_control", "ce_control_audit"), parameters={"run": "ce_control"}, **_RELEASED
)
def released_files(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out losses, scored again from the files of init and student, are not those of the run.

    `curve_difference` compares the first evaluation, and the one at the released step, with the windows' means.
    """
    run = str(context.parameters["run"])
    student, audit = context.evidence(run), context.evidence(f"{run}_audit")
    windows = {row["window"]: row for row in student.rows("heldout_windows.jsonl")}
    again = audit.rows("heldout.jsonl")
    for name, key in (("initial_difference", "ce_initial"), ("final_difference", "ce")):
        worst = max(abs(row[key] - windows[row["window"]][key]) for row in again)
        yield Measurement(name, worst, "nat/token", n=len(again))
    evals = {row["step"]: row for row in student.rows("evals.jsonl")}
    last = evals[student.json("summary.json")["model_step"]]
    means = {key: sum(row[key] for row in windows.values()) / len(windows) for key in ("ce_initial", "ce")}
    off = [abs(evals[0]["heldout_ce"] - means["ce_initial"]), abs(last["heldout_ce"] - means["ce"])]
    yield Measurement("curve_difference", max(off), "nat/token", n=len(windows))
    tensors = audit.json("tensors.json")
    yield Measurement("unchanged_tensors", tensors["unchanged"], "tensors", n=tensors["tensors"])
