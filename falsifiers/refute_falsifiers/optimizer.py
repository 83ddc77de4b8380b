"""Did AdamW, in every step of a run, do what the release declares?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

# Common to GPT-3 (arXiv:2005.14165, appendix B) and the language models after it; torch's own epsilon.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.95, 1e-8
# Two roundings of a float32, of each entry.
_ROUNDING = 2.0**-23
_TRAINING = {
    "steps": 30,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-4,
    "warmup_steps": 4,
    "weight_decay": 0.1,
}
_ENTRIES, _MATRIX = 24, 18


def _followed(
    bench: Bench,
    *,
    rate: float = 1.0,
    since: int = 0,
    decay: float = 1.0,
    forget: bool = False,
    skip: bool = False,
    jump: int | None = None,
    rows: int = 31,
    logged: float = 1.0,
    large: float = 1.0,
    **declared: float,
) -> None:
    """A run of AdamW in float32 over 30 steps, by the formulas of its paper, with a fault from step `since` on."""
    run, training = str(bench.parameters["run"]), _TRAINING | declared
    chance = np.random.default_rng(17)
    matrix = np.arange(_ENTRIES) < _MATRIX
    w, zero = chance.normal(0.0, 0.05 * large, _ENTRIES).astype("f4"), np.zeros(_ENTRIES, "f4")
    m = v = zero
    trace, metrics = [(w, m, v)], []
    rates = _schedule(int(training["warmup_steps"]))
    for step in range(1, 31):
        late, slope = step > since, chance.normal(0.0, 1.0, _ENTRIES)
        lr = rates[step - 1]
        metrics.append({"step": step, "lr": lr * (logged if late else 1.0)})
        if not (skip and late and step % 2):
            before = (m * 0.0, v * 0.0) if forget and late else (m, v)
            m = (_BETA_1 * before[0] + (1 - _BETA_1) * slope).astype("f4")
            v = (_BETA_2 * before[1] + (1 - _BETA_2) * slope**2).astype("f4")
            spread = np.sqrt(v.astype("f8") / (1 - _BETA_2**step)) + _EPSILON
            shrink = training["weight_decay"] * (decay if late else 1.0) * matrix * w
            w = (w - lr * (rate if late else 1.0) * (m / (1 - _BETA_1**step) / spread + shrink)).astype("f4")
        if step == jump:
            w = (w + chance.normal(0.0, 0.02, _ENTRIES)).astype("f4")
        trace.append((w, m, v))
    names = ("weights", "first_moment", "second_moment")
    arrays = {name: np.stack([row[place] for row in trace[:rows]]) for place, name in enumerate(names)}
    bench.put_arrays(run, "trace.safetensors", arrays)
    bench.put(run, "metrics.jsonl", metrics)
    bench.put_arrays(f"{run}_redo", "redone.safetensors", {"decays": matrix.astype("u1")})
    bench.put("release", "release.json", {"distillation": {"training": training}})


def _schedule(warmup: int) -> list[float]:
    """The rates of 30 steps from 1e-3 down to 1e-4 after a warm-up of so many, by another formula than is tested."""
    waves = np.cos(np.linspace(0.0, np.pi, 30 - warmup)) if warmup < 30 else np.zeros(0)
    return [*(1e-3 * (np.arange(warmup) + 1) / max(warmup, 1)).tolist(), *(5.5e-4 + 4.5e-4 * waves).tolist()]


def an_optimizer_that_follows(bench: Bench) -> None:
    """Every step is AdamW's, at the declared rate and decay."""
    _followed(bench)


def weights_of_which_rounding_shows(bench: Bench) -> None:
    """Large weights and small steps: a float32 cannot follow them to the last bit."""
    _followed(bench, large=4000.0, weight_decay=0.0)


def no_decay_declared(bench: Bench) -> None:
    """A release without weight decay."""
    _followed(bench, weight_decay=0.0)


def no_warm_up(bench: Bench) -> None:
    """The first step is at the full rate."""
    _followed(bench, warmup_steps=0)


def a_warm_up_to_the_last_step_but_one(bench: Bench) -> None:
    """One step is at the full rate."""
    _followed(bench, warmup_steps=29)


def a_decay_too_strong(bench: Bench) -> None:
    """Twice the declared decay."""
    _followed(bench, decay=2.0)


def a_log_of_lower_rates(bench: Bench) -> None:
    """The steps are right, the rates in the log are a tenth too low at the end."""
    _followed(bench, logged=0.9, since=25)


def short_steps_that_are_wrong(bench: Bench) -> None:
    """Every step is five per cent longer, of a rate so small that no entry moves by much."""
    _followed(bench, rate=1.05, since=28)


def a_rate_doubled_midway(bench: Bench) -> None:
    """From the middle on every step is twice as long as it should be; the log shows the declared rates."""
    _followed(bench, rate=2.0, since=15)


def a_rate_off_by_a_twentieth(bench: Bench) -> None:
    """Every step is five per cent longer."""
    _followed(bench, rate=1.05)


def weights_that_jump(bench: Bench) -> None:
    """Between two steps the weights were exchanged, as by a checkpoint that was edited or a lesson beside the run."""
    _followed(bench, jump=20)


def a_decay_left_out(bench: Bench) -> None:
    """Nothing decays from the middle on."""
    _followed(bench, decay=0.0, since=15)


def a_decay_that_nobody_declared(bench: Bench) -> None:
    """The release declares none, the optimiser has its library's default."""
    _followed(bench, weight_decay=0.001, decay=10.0)


def moments_thrown_away(bench: Bench) -> None:
    """Each step begins with fresh moments."""
    _followed(bench, forget=True, since=1)


def every_other_step_skipped(bench: Bench) -> None:
    """Nothing moves in every other step."""
    _followed(bench, skip=True, since=1)


def a_log_of_other_rates(bench: Bench) -> None:
    """The steps are right, the rates in the log are a tenth too high at the end."""
    _followed(bench, logged=1.1, since=25)


def a_trace_cut_short(bench: Bench) -> None:
    """The last steps left nothing."""
    _followed(bench, rows=28)


def a_trace_without_rows(bench: Bench) -> None:
    """There is nothing to be followed."""
    _followed(bench, rows=1)


_FOLLOWED: dict[str, Any] = {
    "measures": {
        "step_error": "relative",
        "decay_error": "relative",
        "moment_error": "relative",
        "rate_error": "relative",
        "missing_rows": "steps",
    },
    "controls": (
        known_good(an_optimizer_that_follows),
        known_good(weights_of_which_rounding_shows),
        known_good(no_decay_declared),
        known_good(no_warm_up),
        known_good(a_warm_up_to_the_last_step_but_one),
        known_bad(a_rate_doubled_midway),
        known_bad(a_rate_off_by_a_twentieth),
        known_bad(short_steps_that_are_wrong),
        known_bad(weights_that_jump),
        known_bad(a_decay_left_out),
        known_bad(a_decay_too_strong),
        known_bad(a_decay_that_nobody_declared),
        known_bad(moments_thrown_away),
        known_bad(every_other_step_skipped),
        known_bad(a_log_of_other_rates),
        known_bad(a_log_of_lower_rates),
        known_bad(a_trace_cut_short),
        known_unusable(a_trace_without_rows, raises=ValueError),
    ),
}


@falsifier(
    "optimizer-followed", needs=("student", "student_redo", "release"), parameters={"run": "student"}, **_FOLLOWED
)
@falsifier(
    "control-optimizer-followed",
    needs=("ce_control", "ce_control_redo", "release"),
    parameters={"run": "ce_control"},
    **_FOLLOWED,
)
def optimizer_followed(context: Context) -> Iterator[Measurement]:
    """Refuted when a step of the trace is not AdamW's (arXiv:1711.05101) at the declared rate and decay.

    From moments and weights before and after each step, entry by entry: `step_error` is the worst step's distance from
    AdamW's, by its length; `moment_error` the worst disagreement of the two moments about the gradient; `decay_error`
    how far the decay, by least squares over all steps, is from the declared one. Gradients are not looked at here.
    """
    name = str(context.parameters["run"])
    run, training = context.evidence(name), context.evidence("release").json("release.json")["distillation"]["training"]
    decays = context.evidence(f"{name}_redo").arrays("redone.safetensors")["decays"].astype(np.float64)
    arrays = run.arrays("trace.safetensors")
    w, m, v = (arrays[kind].astype(np.float64) for kind in ("weights", "first_moment", "second_moment"))
    steps = np.arange(1, len(w))
    yield Measurement("missing_rows", training["steps"] - len(steps), "steps", n=training["steps"])
    rates = np.array([_declared_rate(training, step) for step in steps.tolist()])[:, None]
    mean = m[1:] / (1 - _BETA_1 ** steps[:, None])
    spread = np.sqrt(v[1:] / (1 - _BETA_2 ** steps[:, None])) + _EPSILON
    due = rates * mean / spread
    left = w[1:] - w[:-1] + due
    shrink = rates * decays * w[:-1]
    off = np.maximum(np.abs(left + training["weight_decay"] * shrink) - _ROUNDING * np.abs(w[:-1]), 0.0)
    yield Measurement("step_error", _worst(off, due), "relative", n=len(steps))
    decay = -float((left * shrink).sum() / (shrink * shrink).sum())
    # Where none is declared, a thousandth would not show.
    error = abs(decay - training["weight_decay"]) / max(training["weight_decay"], 1e-3)
    yield Measurement("decay_error", error, "relative", n=len(steps))
    slope = (m[1:] - _BETA_1 * m[:-1]) / (1 - _BETA_1)
    root = np.sqrt(_BETA_2 * v[:-1] + (1 - _BETA_2) * slope**2)
    yield Measurement("moment_error", _worst(np.sqrt(v[1:]) - root, root), "relative", n=len(steps))
    logged = [abs(row["lr"] / _declared_rate(training, row["step"]) - 1.0) for row in run.rows("metrics.jsonl")]
    yield Measurement("rate_error", max(logged), "relative", n=len(logged))


def _worst(error: Array, whole: Array) -> float:
    """The largest, over steps, of an error's norm by that of what it is an error of."""
    return float((np.linalg.norm(error, axis=1) / np.linalg.norm(whole, axis=1)).max())


def _declared_rate(training: dict[str, Any], step: int) -> float:
    """Of 1-based `step`: up in equal parts for the warm-up, then half a cosine down to the minimum."""
    warmup, peak, low = training["warmup_steps"], training["learning_rate"], training["min_learning_rate"]
    if step <= warmup:
        return float(peak * step / warmup)
    share = (step - warmup - 1) / max(training["steps"] - warmup - 1, 1)
    return float(low + (peak - low) * (1 + math.cos(math.pi * share)) / 2)
