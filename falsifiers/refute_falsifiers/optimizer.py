"""Did AdamW, in every step of a run, do what the release declares?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
# Rows of a trace that a control lets be missing, whatever the bar.
_MOST = 10_000
# The error of moments of which each step begins afresh, as they are drawn here.
_FORGOTTEN = 0.767
# The step of thirty at which an error is planted that needs one only.
_AT = 20


@dataclass(slots=True)
class _Run:
    """Thirty steps as they went: weights and moments after each, what each step was due, and what decayed besides."""

    trace: list[tuple[Array, Array, Array]]
    due: list[NDArray[np.floating[Any]]]
    besides: list[NDArray[np.floating[Any]]]

    def least(self) -> float:
        """The error of the steps that is in a decay which is not the declared one."""
        return max(float(np.linalg.norm(b) / np.linalg.norm(d)) for b, d in zip(self.besides, self.due, strict=True))

    def jump(self, error: float) -> None:
        """Move what does not decay, in one step, so that this step is off by `error` in all."""
        due, besides = self.due[_AT - 1], self.besides[_AT - 1]
        length = math.sqrt(max(0.0, (error * float(np.linalg.norm(due))) ** 2 - float(besides @ besides)))
        moved = np.where(np.arange(_ENTRIES) < _MATRIX, 0.0, length / math.sqrt(_ENTRIES - _MATRIX))
        self.trace[_AT:] = [((w + moved).astype("f4"), m, v) for w, m, v in self.trace[_AT:]]


def _went(
    rates: Sequence[float],
    decay: float,
    besides: float,
    moment: float,
    *,
    large: float = 1.0,
    forget: bool = False,
    since: int = 30,
    stretch: float = 0.0,
) -> _Run:
    """AdamW in float32, by the formulas of its paper, but for a decay `besides` and, in one step, for a `moment`.

    `forget`: each step begins with fresh moments. Every step after `since` is longer by the share `stretch`.
    """
    chance = np.random.default_rng(17)
    matrix = np.arange(_ENTRIES) < _MATRIX
    w, zero = chance.normal(0.0, 0.005 * large, _ENTRIES).astype("f4"), np.zeros(_ENTRIES, "f4")
    m = v = zero
    run = _Run([(w, m, v)], [], [])
    for step, lr in enumerate(rates, 1):
        slope = chance.normal(0.0, 1.0, _ENTRIES)
        before = (zero, zero) if forget and step > 1 else (m, v)
        m = (_BETA_1 * before[0] + (1 - _BETA_1) * slope).astype("f4")
        root = np.sqrt(_BETA_2 * before[1].astype("f8") + (1 - _BETA_2) * slope**2)
        v = ((root * (1.0 + moment * (step == _AT))) ** 2).astype("f4")
        spread = np.sqrt(v.astype("f8") / (1 - _BETA_2**step)) + _EPSILON
        run.due.append(lr * m / (1 - _BETA_1**step) / spread)
        run.besides.append(lr * besides * matrix * w)
        length = 1.0 + stretch * (step > since)
        w = (w - run.due[-1] * length - lr * decay * matrix * w - run.besides[-1]).astype("f4")
        run.trace.append((w, m, v))
    return run


def _off(bench: Bench, measurement: str, failing: str, wrong: float, right: float = 0.0, **limits: Any) -> float:
    """`right`, or another error that clears its bar; where that is the `failing` one, `wrong` or one that does not."""
    bar = bench.bar(measurement)
    return bar.failing(wrong, **limits) if measurement == failing else bar.holding(right, **limits)


def _followed(
    bench: Bench,
    failing: str = "",
    wrong: float = 0.0,
    *,
    sign: float = 1.0,
    since: int | None = None,
    forget: bool = False,
    rows: int = 31,
    large: float = 1.0,
    slack: float = 1e-4,
    **declared: float,
) -> None:
    """A run of AdamW. The bar of `failing` is failed, by `wrong` if it is by that; the others hold.

    Of steps, all after `since` are too long, or one jumps; rates are off in the log after it. `slack`: how exactly the
    error of a step is known.
    """
    missing = int(_off(bench, "missing_rows", failing, wrong, low=0, high=_MOST, whole=True))
    training = {**_TRAINING, "steps": 30 + missing} | declared
    decay = training["weight_decay"]
    decayed = _off(bench, "decay_error", failing, wrong, low=0.0, within=2e-3 if decay else 2e-2)
    moment = _off(bench, "moment_error", failing, wrong, low=0.0, within=1e-2 if forget else 1e-5)
    rated = _off(bench, "rate_error", failing, wrong, low=0.0, within=1e-9)
    rates = _schedule(int(training["warmup_steps"]), 30 + missing)
    forgets = forget and moment == wrong
    besides, turned = sign * decayed * max(decay, 1e-3), 0.0 if forgets else moment
    run = _went(rates[:30], decay, besides, turned, large=large, forget=forgets)
    least = run.least()
    error = _off(bench, "step_error", failing, wrong, least, low=least, within=slack)
    if failing == "step_error" and since is not None:
        run = _went(rates[:30], decay, besides, turned, large=large, since=since, stretch=error)
    else:
        run.jump(error)
    name = str(bench.parameters["run"])
    names = ("weights", "first_moment", "second_moment")
    arrays = {each: np.stack([row[place] for row in run.trace[:rows]]) for place, each in enumerate(names)}
    bench.put_arrays(name, "trace.safetensors", arrays)
    scale = 1.0 + rated * (sign if rated < 1.0 else 1.0)
    logged = [lr * (scale if step > (since or 0) else 1.0) for step, lr in enumerate(rates, 1)]
    bench.put(name, "metrics.jsonl", [{"step": step, "lr": lr} for step, lr in enumerate(logged, 1)])
    matrix = np.arange(_ENTRIES) < _MATRIX
    bench.put_arrays(f"{name}_redo", "redone.safetensors", {"decays": matrix.astype("u1")})
    bench.put("release", "release.json", {"distillation": {"training": training}})


def _schedule(warmup: int, steps: int) -> list[float]:
    """The rates from 1e-3 down to 1e-4 after a warm-up of so many steps, by another formula than is tested."""
    waves = np.cos(np.linspace(0.0, np.pi, steps - warmup)) if warmup < steps else np.zeros(0)
    return [*(1e-3 * (np.arange(warmup) + 1) / max(warmup, 1)).tolist(), *(5.5e-4 + 4.5e-4 * waves).tolist()]


def an_optimizer_that_follows(bench: Bench) -> None:
    """Every step is AdamW's, at the declared rate and decay, which shows in weights of this size."""
    _followed(bench, large=10.0)


def weights_of_which_rounding_shows(bench: Bench) -> None:
    """Large weights and small steps: a float32 cannot follow them to the last bit."""
    _followed(bench, large=40_000.0, slack=5e-3, weight_decay=0.0)


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
    _followed(bench, "decay_error", 1.0)


def a_log_of_lower_rates(bench: Bench) -> None:
    """The steps are right, the rates in the log are a tenth too low at the end."""
    _followed(bench, "rate_error", 0.1, sign=-1.0, since=25)


def short_steps_that_are_wrong(bench: Bench) -> None:
    """Every step is five per cent longer, of a rate so small that no entry moves by much."""
    _followed(bench, "step_error", 0.05, since=28, slack=1e-3)


def a_rate_doubled_midway(bench: Bench) -> None:
    """From the middle on every step is twice as long as it should be; the log shows the declared rates."""
    _followed(bench, "step_error", 1.0, since=15)


def a_rate_off_by_a_twentieth(bench: Bench) -> None:
    """Every step is five per cent longer."""
    _followed(bench, "step_error", 0.05, since=0)


def weights_that_jump(bench: Bench) -> None:
    """Between two steps the weights were exchanged, as by a checkpoint that was edited or a lesson beside the run."""
    _followed(bench, "step_error", 5.0)


def a_decay_left_out(bench: Bench) -> None:
    """Nothing decays."""
    _followed(bench, "decay_error", 1.0, sign=-1.0)


def a_decay_that_nobody_declared(bench: Bench) -> None:
    """The release declares none, the optimiser has its library's default."""
    _followed(bench, "decay_error", 10.0, weight_decay=0.0)


def moments_thrown_away(bench: Bench) -> None:
    """Each step begins with fresh moments."""
    _followed(bench, "moment_error", _FORGOTTEN, forget=True)


def a_moment_exchanged(bench: Bench) -> None:
    """In one step the second moment is not that of the gradient."""
    _followed(bench, "moment_error", 0.01)


def a_log_of_other_rates(bench: Bench) -> None:
    """The steps are right, the rates in the log are a tenth too high at the end."""
    _followed(bench, "rate_error", 0.1, since=25)


def a_trace_cut_short(bench: Bench) -> None:
    """The last steps left nothing."""
    _followed(bench, "missing_rows", 3)


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
        known_bad(a_moment_exchanged),
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
    metrics = run.rows_by("metrics.jsonl", "step")
    logged = [abs(row["lr"] / _declared_rate(training, step) - 1.0) for step, row in metrics.items()]
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
