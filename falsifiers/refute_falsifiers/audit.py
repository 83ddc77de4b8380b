"""Does the run's own account of itself hold against the same things done by other means?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
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


# Entries of each of three tensors.
_ENTRIES = 64


def _step(
    bench: Bench,
    wrong: Mapping[str, float] = MappingProxyType({}),
    *,
    off: str = "ce",
    sign: float = 1.0,
    lost: int = 0,
    rounded: float = 0.0,
    batches: Callable[[list[str], int], list[str]] | None = None,
    first: int = 1,
    warmup: int = 4,
    alone: bool = False,
) -> None:
    """A first step as it should be, but for the measurements in `wrong`, which fail their bars.

    The error of the loss lies in its part `off`; that of the gradient is a scale with this `sign`, besides `lost`
    entries that are none. `batches` makes of the right ones, and a number of steps, those that were given.
    """
    right = {"loss_error": 0.0, "gradient_error": rounded, "rate_error": 0.0}
    found = bench.values(right, wrong, low=0.0, clear=True)
    foreign = bench.bar("foreign_batches")
    count = int((foreign.failing if batches else foreign.holding)(1 if batches else 0, low=0, whole=True))
    _tensors(bench, found["gradient_error"], found["rate_error"], sign, lost, warmup)
    parts = {"ce": 3.0, "kl": 0.0 if alone else 0.5, "total": 2.3}
    logged: dict[str, Any] = {**parts, "tokens": 8, off: parts[off] + sign * found["loss_error"]}
    if alone:
        logged["kl"] = None
    due = [f"batch {number}" for number in range(4 + count)]
    given = batches(due, count) if batches else [f"foreign {n}" if n < count else batch for n, batch in enumerate(due)]
    rows = [logged | {"step": n, "batch_sha256": batch} for n, batch in enumerate(given, first)]
    run = str(bench.parameters["run"])
    bench.put(run, "metrics.jsonl", rows)
    expected = [{"step": n, "batch_sha256": batch} for n, batch in enumerate(due, first)]
    bench.put(f"{run}_redo", "batches.jsonl", expected)
    bench.put(f"{run}_redo", "first_step.json", parts | {"tokens": 8})
    bench.put("release", "release.json", {"distillation": {"training": _TRAINING | {"warmup_steps": warmup}}})


def _tensors(bench: Bench, gradient: float, rate: float, sign: float, lost: int, warmup: int) -> None:
    """A first step whose gradient and rate are off by these shares."""
    chance = np.random.default_rng(17)
    peak = float(_TRAINING["learning_rate"]) / max(warmup, 1)
    own: dict[str, NDArray[Any]] = {}
    audited: dict[str, NDArray[Any]] = {}
    # A matrix decays; a norm and a bias do not. Weights lean with their gradients, so that decay shows.
    for name, decay, size in (("q.weight", 0.5, 2.0), ("norm.weight", 0.0, 3.0), ("q.bias", 0.0, 3.0)):
        slope = chance.normal(0.0, 1.0, _ENTRIES)
        weights = np.sign(slope) * np.abs(chance.normal(size, size / 4, _ENTRIES))
        had = slope * (1.0 + sign * gradient)
        # No more entries are none than the error allows.
        gone = min(lost, int(np.searchsorted(np.cumsum(slope**2), gradient**2 * float(slope @ slope))))
        if gone:
            # What the other entries must be so that the whole is off by `gradient`.
            none, kept = float(slope[:gone] @ slope[:gone]), float(slope[gone:] @ slope[gone:])
            had = slope * (1.0 + math.sqrt(max(0.0, gradient**2 * (none + kept) - none) / kept))
            had[:gone] = 0.0
        step = had / (np.abs(had) + _EPSILON) + decay * weights
        own[f"gradient/{name}"], own[f"after/{name}"] = had, weights - (1.0 + rate * sign) * peak * step
        audited[f"gradient/{name}"], audited[f"before/{name}"] = slope, weights
    run = str(bench.parameters["run"])
    bench.put_arrays(run, "first_step.safetensors", own)
    bench.put_arrays(f"{run}_redo", "first_step.safetensors", audited)


def a_first_step_as_declared(bench: Bench) -> None:
    """The declared loss, its gradient, and AdamW's step at the declared rate."""
    _step(bench)


def a_gradient_of_half_the_batch(bench: Bench) -> None:
    """The loss of the whole batch is logged, the gradient of a part of it applied."""
    _step(bench, {"gradient_error": 0.8}, lost=_ENTRIES // 2)


def a_gradient_uphill(bench: Bench) -> None:
    """The sign is wrong."""
    _step(bench, {"gradient_error": 2.0}, sign=-1.0)


def a_rate_never_passed_on(bench: Bench) -> None:
    """The optimiser keeps the rate that it was made with."""
    _step(bench, {"rate_error": 3.0})


def weights_that_stay(bench: Bench) -> None:
    """The optimiser has the gradient and does not step."""
    _step(bench, {"rate_error": 1.0}, sign=-1.0)


def a_kl_to_another_teacher(bench: Bench) -> None:
    """The KL of the first batch is not the KL to the released teacher."""
    _step(bench, {"loss_error": 0.4}, off="kl")


def a_cross_entropy_of_other_labels(bench: Bench) -> None:
    """The cross-entropy of the first batch is not that of its text."""
    _step(bench, {"loss_error": 2.7}, off="ce")


def a_total_of_other_weights(bench: Bench) -> None:
    """Both parts are right, their sum is another."""
    _step(bench, {"loss_error": 1.05}, off="total", sign=-1.0)


def one_batch_over_and_over(bench: Bench) -> None:
    """Steps see the batch of the first."""
    _step(bench, batches=lambda due, wrong: [due[0] if 0 < n <= wrong else batch for n, batch in enumerate(due)])


def a_step_with_labels_of_its_own(bench: Bench) -> None:
    """A batch in the middle is not that of the corpus."""
    _step(bench, batches=lambda due, wrong: [f"own {n}" if 1 < n < 2 + wrong else b for n, b in enumerate(due)])


def a_step_too_many(bench: Bench) -> None:
    """More batches than were declared."""
    _step(bench, batches=lambda due, wrong: [*due, *(f"more {n}" for n in range(wrong))])


def a_gradient_in_bfloat16(bench: Bench) -> None:
    """Three per cent off, as rounding may make it."""
    _step(bench, rounded=0.03)


def no_warm_up(bench: Bench) -> None:
    """The first step is at the full rate."""
    _step(bench, warmup=0)


def no_teacher(bench: Bench) -> None:
    """Cross-entropy alone: there is no KL in the log."""
    _step(bench, alone=True)


def a_log_that_begins_later(bench: Bench) -> None:
    """The row of the first step is lost."""
    _step(bench, first=2)


def a_step_that_is_missing(bench: Bench) -> None:
    """The last batches were never given."""
    _step(bench, batches=lambda due, wrong: due[: len(due) - wrong])


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


_RIGHT_ACCOUNT = {"initial_difference": 0.0, "final_difference": 0.0, "curve_difference": 0.0}


def _account(
    bench: Bench,
    wrong: Mapping[str, float] = MappingProxyType({}),
    *,
    unchanged: int = 0,
    sign: float = 1.0,
    at: str = "last",
    only: int | None = None,
) -> None:
    """An account that holds, but for the differences in `wrong` and `unchanged` tensors, which fail their bars.

    Differences have this `sign`; that of the curve lies `at` its "first" or "last" evaluation, those of the losses in
    all windows or `only` in one.
    """
    found = bench.values(_RIGHT_ACCOUNT, wrong, low=0.0, clear=True)
    tensors = bench.bar("unchanged_tensors")
    same = int((tensors.failing if unchanged else tensors.holding)(unchanged, low=0, whole=True))
    run = str(bench.parameters["run"])
    windows = [{"window": n, "ce_initial": 4.0 + n, "ce": 2.0 + n, "kl": 0.5} for n in range(6)]
    bench.put(run, "heldout_windows.jsonl", windows)
    curve = sign * found["curve_difference"]
    evals = [
        {"step": 0, "heldout_ce": 6.5 + curve * (at == "first"), "heldout_kl": 2.0},
        {"step": 9, "heldout_ce": 4.5 + curve * (at == "last"), "heldout_kl": 0.5},
    ]
    bench.put(run, "evals.jsonl", evals)
    bench.put(run, "summary.json", {"model_step": 9})
    rows = [
        {
            "window": n,
            "ce_initial": 4.0 + n + sign * found["initial_difference"] * (only in (None, n)),
            "ce": 2.0 + n + sign * found["final_difference"] * (only in (None, n)),
        }
        for n in range(4)
    ]
    bench.put(f"{run}_audit", "heldout.jsonl", rows)
    bench.put(f"{run}_audit", "tensors.json", {"tensors": max(9, same), "unchanged": same})


def an_account_that_holds(bench: Bench) -> None:
    """The files score what the run says, and every tensor differs from the init's."""
    _account(bench)


def files_of_another_model(bench: Bench) -> None:
    """The released weights do not have the loss that the run ended with."""
    _account(bench, {"final_difference": 0.5})


def a_run_that_began_elsewhere(bench: Bench) -> None:
    """The loss before the first step is not the init's: it was replaced by random weights."""
    _account(bench, {"initial_difference": 3.0}, sign=-1.0)


def the_init_in_the_folder(bench: Bench) -> None:
    """The run counts changed tensors; the released files are the init's."""
    _account(bench, unchanged=9)


def a_curve_of_another_loss(bench: Bench) -> None:
    """The curve over the run ends with the training loss, not the held-out one."""
    _account(bench, {"curve_difference": 1.0}, sign=-1.0)


def a_curve_that_begins_too_high(bench: Bench) -> None:
    """The curve begins above the loss of the init, so that it can fall."""
    _account(bench, {"curve_difference": 1.0}, at="first")


def a_curve_that_begins_too_low(bench: Bench) -> None:
    """The curve begins below the loss of the init."""
    _account(bench, {"curve_difference": 1.0}, sign=-1.0, at="first")


def one_window_of_another_model(bench: Bench) -> None:
    """All windows but one score what the run says."""
    _account(bench, {"initial_difference": 0.5, "final_difference": 0.5}, only=2)


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
