"""Are the numbers of a run as fine as float32, from step to step?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

# torch's default, which the language models after GPT-3 (arXiv:2005.14165, appendix B) have, too.
_BETA_1 = 0.9
# Of the 23 bits of a float32's fraction those that bfloat16 (7), float16 and TF32 (10) have not.
_COARSE = np.uint32((1 << 13) - 1)
# A gradient is known from two moments, up to their rounding: so near to a number of this many significant bits one in
# eight lies by chance, and one that was rounded lies always.
_BITS, _NEAR = 12, 1 / 16
# Of a gradient that is smaller than this share of the moment before, too few bits are left in the moment after.
_SHOWS = 1 / 4
# So few entries of a step may be coarse by chance, and so few gradients of an entry near the grid.
_FEW, _FEW_STEPS = 32, 64
_KINDS = ("weights", "first_moment", "second_moment")
_STEPS, _ENTRIES = 101, 100


# ------------------------------------------------------------------------------------------------ controls


def _fine(row: Array) -> NDArray[np.float32]:
    """In float32, none of them coarse."""
    return (row.astype("f4").view("u4") | np.uint32(1)).view("f4")


def _coarse(row: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The same with the first `count` as 16 bits leave them."""
    bits = row.view("u4").copy()
    bits[:count] &= ~_COARSE
    return bits.view("f4")


def _share(bench: Bench, measurement: str, failing: str, most: int = 100) -> int:
    """Percent of entries that are rounded: none, or all, where the bars allow."""
    bar = bench.bar(measurement)
    if measurement == failing:
        return int(bar.failing(100, low=0, high=most, whole=True))
    return int(bar.holding(0, low=0, high=most, whole=True))


def _kept(
    bench: Bench,
    failing: str = "",
    *,
    kind: str = "weights",
    norm: float = 0.5,
    late: bool = False,
    declared: bool = False,
) -> None:
    """A run of a hundred steps and one without a gradient, where as much of `kind` is rounded as the bars want.

    Of one entry as many gradients, of this `norm`, are rounded: before they are clipped, or `late`. Where it is
    `declared` that they are, all are.
    """
    states = _share(bench, "rounded_states", failing)
    gradients = _share(bench, "rounded_gradients", failing, 0 if declared else 100)
    chance, scale = np.random.default_rng(17), 1.0 if late else min(1.0, 1.0 / (norm + 1e-6))
    # In units of the twelfth bit: whole ones, or half a unit besides. A half of any of them, and a little more or less,
    # is neither.
    off = np.full((_STEPS - 1, _ENTRIES), 0.0 if declared else 0.5)
    off[:gradients, 0] = 0.0
    slopes = (chance.integers(2048, 3000, off.shape) + off) * 2.0**-22 * scale
    moments = [np.zeros(_ENTRIES)]
    for slope in (*slopes, np.zeros(_ENTRIES)):
        moments.append(_fine(_BETA_1 * moments[-1] + (1 - _BETA_1) * slope).astype("f8"))
    trace = {name: [np.zeros(_ENTRIES, "f4")] for name in _KINDS}
    for moment in moments[1:]:
        for name, rows in trace.items():
            rows.append(_fine(moment if name == "first_moment" else chance.uniform(0.5, 1.0, _ENTRIES)))
    trace[kind][-1] = _coarse(trace[kind][-1], states)
    _put(bench, {name: np.stack(rows) for name, rows in trace.items()}, norm, declared=declared)


def _put(bench: Bench, trace: dict[str, Any], norm: float, *, declared: bool = False) -> None:
    run, training = str(bench.parameters["run"]), {"dtype": "bfloat16" if declared else "float32", "max_grad_norm": 1.0}
    bench.put_arrays(run, "trace.safetensors", trace)
    bench.put(run, "metrics.jsonl", [{"step": n, "grad_norm": norm} for n in range(1, len(trace["weights"]))])
    bench.put("release", "release.json", {"distillation": {"training": training}})


# Clipped to a little more than a half.
_LONG = 2.0 / (1.0 + 2.0**-13)


def numbers_of_float32(bench: Bench) -> None:
    """Weights, moments and gradients have all their bits."""
    _kept(bench)


def clipped_numbers_of_float32(bench: Bench) -> None:
    """The same, and gradients were clipped."""
    _kept(bench, norm=_LONG)


def gradients_declared_in_sixteen_bits(bench: Bench) -> None:
    """The release trains in bfloat16: what is kept from step to step is float32 all the same."""
    _kept(bench, declared=True)


def weights_kept_in_sixteen_bits(bench: Bench) -> None:
    """After a step the weights are numbers of bfloat16."""
    _kept(bench, "rounded_states")


def first_moments_kept_in_sixteen_bits(bench: Bench) -> None:
    """The running mean of the gradient is."""
    _kept(bench, "rounded_states", kind="first_moment")


def second_moments_kept_in_sixteen_bits(bench: Bench) -> None:
    """The running mean of its square is."""
    _kept(bench, "rounded_states", kind="second_moment")


def states_in_sixteen_bits_where_gradients_may_be(bench: Bench) -> None:
    """The release trains in bfloat16, and weights are rounded, too."""
    _kept(bench, "rounded_states", declared=True)


def gradients_in_sixteen_bits(bench: Bench) -> None:
    """Nobody declared it."""
    _kept(bench, "rounded_gradients")


def gradients_rounded_before_they_are_clipped(bench: Bench) -> None:
    """What is clipped has all its bits again."""
    _kept(bench, "rounded_gradients", norm=_LONG)


def gradients_rounded_after_they_are_clipped(bench: Bench) -> None:
    """As AdamW is given them."""
    _kept(bench, "rounded_gradients", norm=_LONG, late=True)


def a_run_that_never_moved(bench: Bench) -> None:
    """There is no state but the first."""
    _put(bench, {name: np.ones((_STEPS, _ENTRIES), "f4") for name in _KINDS}, 0.5)


def a_run_without_gradients(bench: Bench) -> None:
    """Weights move, and moments do not."""
    moving = np.stack([_fine(np.full(_ENTRIES, 0.7 + 0.001 * step)) for step in range(_STEPS)])
    still = np.zeros((_STEPS, _ENTRIES), "f4")
    _put(bench, {"weights": moving, "first_moment": still, "second_moment": still}, 0.5)


# ------------------------------------------------------------------------------------------------ measurements


_UNROUNDED: dict[str, Any] = {
    "measures": {"rounded_states": "%", "rounded_gradients": "%"},
    "controls": (
        *map(known_good, (numbers_of_float32, clipped_numbers_of_float32, gradients_declared_in_sixteen_bits)),
        known_bad(weights_kept_in_sixteen_bits),
        known_bad(first_moments_kept_in_sixteen_bits),
        known_bad(second_moments_kept_in_sixteen_bits),
        known_bad(states_in_sixteen_bits_where_gradients_may_be),
        known_bad(gradients_in_sixteen_bits),
        known_bad(gradients_rounded_before_they_are_clipped),
        known_bad(gradients_rounded_after_they_are_clipped),
        known_unusable(a_run_that_never_moved, raises=ValueError),
        known_unusable(a_run_without_gradients, raises=ValueError),
    ),
}


@falsifier("numbers-unrounded", needs=("student", "release"), parameters={"run": "student"}, **_UNROUNDED)
@falsifier("control-numbers-unrounded", needs=("ce_control", "release"), parameters={"run": "ce_control"}, **_UNROUNDED)
def numbers_unrounded(context: Context) -> Iterator[Measurement]:
    """Refuted when what a run keeps from step to step has fewer bits than float32, or its gradients have.

    `rounded_states`: of the entries of the trace that have moved, the share in the worst step whose last 13 bits are
    zero, of weights or a moment. `rounded_gradients`: of the gradients of the worst entry that its first moments tell,
    the share that lies on the grid of 12 significant bits, before clipping or after it; an eighth does by chance. Where
    the release trains in bfloat16, gradients may.
    """
    run, training = context.evidence(str(context.parameters["run"])), _training(context)
    trace = run.arrays("trace.safetensors")
    states = [_coarse_share(trace[kind]) for kind in _KINDS]
    entries = trace["weights"].shape[1]
    yield Measurement("rounded_states", 100.0 * max(states), "%", n=entries)
    norms = [row["grad_norm"] for _, row in sorted(run.rows_by("metrics.jsonl", "step").items())]
    scales = np.minimum(1.0, training["max_grad_norm"] / (np.array(norms) + 1e-6))[:, None]
    moments = trace["first_moment"].astype(np.float64)
    slopes = (moments[1:] - _BETA_1 * moments[:-1]) / (1 - _BETA_1)
    shown = np.abs(slopes) > _SHOWS * np.abs(moments[:-1])
    if not shown.any():
        raise ValueError(f"evidence {run.name}: the first moments tell no gradient")
    near = max(_near_share(each, shown) for each in (slopes, slopes / scales))
    rounded = 0.0 if training["dtype"] == "bfloat16" else near
    yield Measurement("rounded_gradients", 100.0 * rounded, "%", n=int(shown.sum()))


def _training(context: Context) -> dict[str, Any]:
    found: dict[str, Any] = context.evidence("release").json("release.json")["distillation"]["training"]
    return found


def _coarse_share(rows: NDArray[Any]) -> float:
    """Of a kind of state after each step (steps + 1, N) float32. Raises ValueError where no entry ever moved."""
    moved = (rows[1:] != rows[0]) & (rows[1:] != 0)
    if not moved.any() and rows[0].any():
        raise ValueError("no state of the trace differs from the first")
    coarse = moved & ((rows[1:].astype("f4").view("u4") & _COARSE) == 0)
    return float((coarse.sum(axis=1) / np.maximum(moved.sum(axis=1), _FEW)).max())


def _near_share(slopes: Array, shown: NDArray[np.bool_]) -> float:
    """Of the gradients (steps, N) that are shown, how many of an entry's lie on the grid: the largest share of all."""
    units = np.frexp(slopes)[0] * 2.0**_BITS
    near = shown & (np.abs(units - np.rint(units)) <= _NEAR)
    return float((near.sum(axis=0) / np.maximum(shown.sum(axis=0), _FEW_STEPS)).max())
