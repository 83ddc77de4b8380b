"""Were loss, gradient, rate and batches of the first step the declared ones, by another implementation?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

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


def a_foreign_batch_of_this_run(bench: Bench) -> None:
    """A first step on text that nobody has written, as this run's auditors make it."""
    run = str(bench.parameters["run"])
    own, audit = bench.real[run], bench.real[f"{run}_redo"]
    tensors = audit.arrays("foreign_first_step.safetensors")
    off = _apart(own.arrays("first_step.safetensors"), tensors)
    bench.bar("gradient_error").failing(off, low=off, high=off)
    bench.put(run, "metrics.jsonl", own.rows("metrics.jsonl"))
    bench.put_arrays(run, "first_step.safetensors", own.arrays("first_step.safetensors"))
    bench.put(f"{run}_redo", "batches.jsonl", audit.rows("batches.jsonl"))
    bench.put(f"{run}_redo", "first_step.json", audit.json("foreign_first_step.json"))
    bench.put_arrays(f"{run}_redo", "first_step.safetensors", tensors)
    bench.put("release", "release.json", bench.real["release"].json("release.json"))


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
        known_bad(a_foreign_batch_of_this_run),
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
    rows, expected = list(student.rows_by("metrics.jsonl", "step").values()), audit.json("first_step.json")
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
    gradient = _together(own, "gradient/")
    yield Measurement("gradient_error", _apart(own, theirs), "relative", n=len(gradient))
    before, after = _together(theirs, "before/"), _together(own, "after/")
    matrix = np.concatenate([np.full(len(own[each]), _decays(each)) for each in _names(own, "gradient/")])
    whole = gradient / (np.abs(gradient) + _EPSILON) + training["weight_decay"] * matrix * before
    made = before - after
    scale = float(made @ whole / (whole @ whole)) / _first_rate(training)
    yield Measurement("rate_error", abs(scale - 1.0), "relative", n=len(made))


def _apart(own: dict[str, NDArray[Any]], theirs: dict[str, NDArray[Any]]) -> float:
    """How far the own gradient is from theirs, by its norm."""
    gradient, right = _together(own, "gradient/"), _together(theirs, "gradient/")
    return float(np.linalg.norm(gradient - right) / np.linalg.norm(right))


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
