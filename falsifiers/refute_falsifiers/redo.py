"""Do steps of a run, made again by the auditors, lead where the run says that they led?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

_ENTRIES = 16
# Start, end, and what the end is compared with: the first steps, drawn ones, the last ones.
_SEGMENTS = ((0, 2, "trace"), (7, 9, "trace"), (18, 20, "model"))


def _redone(
    bench: Bench,
    *,
    segments: Sequence[tuple[int, int, str]] = _SEGMENTS,
    resumed: Sequence[tuple[int, int]] = (),
    astray: float = 0.0,
    slope: float = 0.0,
    only: int | None = None,
    whole: float = 1e-6,
    broken: int = 0,
    released: int = 0,
    stands: bool = False,
    steps: int = 20,
    **logged: float | None,
) -> None:
    """A run of `steps` and its redone segments; `astray` and `slope` say how far from it, by its own length."""
    run = str(bench.parameters["run"])
    chance = np.random.default_rng(17)
    moves = chance.normal(0.0, 1e-3, (steps, _ENTRIES)) * (not stands)
    trace = np.cumsum(np.concatenate([chance.normal(0.0, 0.05, (1, _ENTRIES)), moves]), axis=0)
    moments = chance.normal(0.0, 1e-4, (steps + 1, _ENTRIES))
    rows: list[dict[str, Any]] = []
    weights: list[Array] = []
    first: list[Array] = []
    for number, (start, end, _) in enumerate(segments):
        for step in range(start + 1, end + 1):
            rows.append({"segment": number, "step": step, "ce": 3.0, "kl": 0.5, "total": 2.3})
            away = astray * (only in (None, step)) * (trace[step] - trace[start])
            first.append(moments[step] + slope * (only in (None, step)) * moments[step][::-1])
            weights.append(trace[step] + away[::-1] + 1e-9 + 1e-3 * stands)
    metrics: list[dict[str, Any]] = [{"step": n, "ce": 3.0, "kl": 0.5, "total": 2.3} for n in range(1, steps + 1)]
    metrics[-1] |= logged
    if logged.get("kl", 0.5) is None:
        rows = [row | {"kl": 0.0} for row in rows]
        metrics = [row | {"kl": None} for row in metrics]
    parts = [
        {"segment": n, "start": start, "end": end, "target": target, "broken": 0}
        | {"distance": None if target == "trace" else whole}
        for n, (start, end, target) in enumerate(segments)
    ]
    parts[0]["broken"] = broken
    custody = {"entropy": "0" * 32, "resumed": [{"since": since, "at": at} for since, at in resumed]}
    bench.put(run, "custody.json", custody)
    bench.put(run, "metrics.jsonl", metrics)
    claimed = {"weights": trace.astype("f4"), "first_moment": moments.astype("f4")}
    bench.put_arrays(run, "trace.safetensors", claimed)
    bench.put(f"{run}_redo", "segments.jsonl", parts)
    bench.put(f"{run}_redo", "steps.jsonl", rows)
    bench.put(f"{run}_redo", "released.json", {"broken": released})
    again = {"weights": np.stack(weights).astype("f4"), "first_moment": np.stack(first).astype("f4")}
    bench.put_arrays(f"{run}_redo", "redone.safetensors", again)


def a_run_found_again(bench: Bench) -> None:
    """Every redone step ends where the run says, up to rounding."""
    _redone(bench)


def a_run_found_again_after_a_kill(bench: Bench) -> None:
    """Interrupted once; the steps that led to its checkpoint, and those after it, were made again."""
    _redone(bench, segments=(*_SEGMENTS, (5, 10, "state"), (10, 12, "trace")), resumed=[(5, 10)])


def a_run_without_a_teacher(bench: Bench) -> None:
    """Cross-entropy alone: there is no KL in the log."""
    _redone(bench, kl=None)


def steps_that_lead_elsewhere(bench: Bench) -> None:
    """The gradient was another from the second step on, as with a teacher switched off."""
    _redone(bench, astray=0.3)


def one_step_that_leads_elsewhere(bench: Bench) -> None:
    """All redone steps but one end where the run says."""
    _redone(bench, astray=0.3, only=8)


def first_steps_that_rounding_turns(bench: Bench) -> None:
    """AdamW begins with the signs of gradients, and rounding turns those of the smallest."""
    _redone(bench, astray=0.2, only=2)


def a_gradient_of_another_loss_in_the_second_step(bench: Bench) -> None:
    """The first moment is off in the second step, where weights say little."""
    _redone(bench, slope=0.3, only=2)


def weights_that_stand_still(bench: Bench) -> None:
    """The run did not move where the redone steps do."""
    _redone(bench, stands=True)


def another_model_at_the_end(bench: Bench) -> None:
    """The sampled entries are those of the run; others of the released weights are not."""
    _redone(bench, whole=0.4)


def a_state_edited(bench: Bench) -> None:
    """A kept state is not what the trace says of that step."""
    _redone(bench, broken=3)


def both_ends_edited(bench: Bench) -> None:
    """Entries of a kept state and as many of the released weights are not what the trace says."""
    _redone(bench, broken=3, released=3)


def a_release_of_another_step(bench: Bench) -> None:
    """The released weights are not what the trace says of the last step."""
    _redone(bench, released=5)


def a_loss_of_other_labels(bench: Bench) -> None:
    """The weights are right; the cross-entropy of a redone step is not what the log says."""
    _redone(bench, ce=3.2)


def a_kl_to_another_teacher(bench: Bench) -> None:
    """The weights are right; the KL of a redone step is not what the log says."""
    _redone(bench, kl=0.7)


def a_total_of_other_weights(bench: Bench) -> None:
    """The weights are right; the loss of a redone step is not what the log says."""
    _redone(bench, total=1.9)


def a_resumption_that_nobody_redid(bench: Bench) -> None:
    """The run was interrupted; its way to the checkpoint that was loaded is not among the redone steps."""
    _redone(bench, segments=(*_SEGMENTS, (10, 12, "trace")), resumed=[(5, 10)])


def a_resumption_redone_up_to_it(bench: Bench) -> None:
    """The steps after the checkpoint that was loaded are not among the redone ones."""
    _redone(bench, segments=(*_SEGMENTS, (5, 10, "state")), resumed=[(5, 10)])


def a_run_interrupted_all_the_time(bench: Bench) -> None:
    """Each time what led to the checkpoint and what followed was made again; nobody saw the machine so often."""
    segments = (*_SEGMENTS, (5, 10, "state"), (10, 12, "trace"))
    _redone(bench, segments=segments, resumed=[(5, 10)] * 101)


def hardly_a_step_of_many(bench: Bench) -> None:
    """Two steps of four hundred and two were made again, in the middle."""
    _redone(bench, segments=[(200, 202, "trace")], steps=402)


def a_long_run_of_which_enough_was_redone(bench: Bench) -> None:
    """Two steps of four hundred were made again, in the middle."""
    _redone(bench, segments=[(200, 202, "trace")], steps=400)


def a_run_redone_from_end_to_end(bench: Bench) -> None:
    """Nothing was redone but what led to its resumption, and the one step after it."""
    _redone(bench, segments=[(0, 10, "state"), (10, 11, "trace")], resumed=[(0, 10)], steps=11)


def a_resumption_of_which_a_step_is_missing(bench: Bench) -> None:
    """The first step after the checkpoint before it was not made again."""
    _redone(bench, segments=(*_SEGMENTS, (6, 10, "state"), (10, 12, "trace")), resumed=[(5, 10)])


def steps_where_no_fault_would_be(bench: Bench) -> None:
    """Two steps of four hundred were made again, both at the very beginning."""
    _redone(bench, segments=[(0, 2, "model")], steps=400)


def a_run_of_which_nothing_was_redone(bench: Bench) -> None:
    """There are weights of other steps than there are rows."""
    _redone(bench)
    nothing = np.zeros((1, _ENTRIES), "f4")
    again = {"weights": nothing, "first_moment": nothing}
    bench.put_arrays(f"{bench.parameters['run']}_redo", "redone.safetensors", again)


_REDONE: dict[str, Any] = {
    "measures": {
        "distance": "relative",
        "moment_distance": "relative",
        "loss_difference": "nat/token",
        "broken_links": "entries",
        "unredone_resumptions": "resumptions",
        "resumptions": "resumptions",
        "redone_share": "%",
        "missed_if_a_tenth": "%",
    },
    "controls": (
        known_good(a_run_found_again),
        known_good(a_run_found_again_after_a_kill),
        known_good(a_run_without_a_teacher),
        known_good(first_steps_that_rounding_turns),
        known_good(a_long_run_of_which_enough_was_redone),
        known_good(a_run_redone_from_end_to_end),
        known_bad(steps_that_lead_elsewhere),
        known_bad(one_step_that_leads_elsewhere),
        known_bad(a_gradient_of_another_loss_in_the_second_step),
        known_bad(weights_that_stand_still),
        known_bad(another_model_at_the_end),
        known_bad(a_state_edited),
        known_bad(a_release_of_another_step),
        known_bad(both_ends_edited),
        known_bad(a_loss_of_other_labels),
        known_bad(a_kl_to_another_teacher),
        known_bad(a_total_of_other_weights),
        known_bad(a_resumption_that_nobody_redid),
        known_bad(a_resumption_redone_up_to_it),
        known_bad(a_resumption_of_which_a_step_is_missing),
        known_bad(a_run_interrupted_all_the_time),
        known_bad(hardly_a_step_of_many),
        known_bad(steps_where_no_fault_would_be),
        known_unusable(a_run_of_which_nothing_was_redone, raises=ValueError),
    ),
}


@falsifier("segments-redone", needs=("student", "student_redo"), parameters={"run": "student"}, **_REDONE)
@falsifier(
    "control-segments-redone", needs=("ce_control", "ce_control_redo"), parameters={"run": "ce_control"}, **_REDONE
)
def segments_redone(context: Context) -> Iterator[Measurement]:
    """Refuted when steps made again, from a state that the run kept, do not lead to the weights that it claims.

    `distance` is that of weights, by how far they moved within the segment: the worst over redone steps after the first
    segment, and over whole models where the run's are known. `moment_distance` is that of AdamW's first moment, which
    is made of gradients alone, over all redone steps. A fault of the gradient that lasts one step is missed unless it
    falls into `redone_share`; one that lasts a tenth of the run, at `missed_if_a_tenth` of its places; one that lasts,
    never.
    """
    name = str(context.parameters["run"])
    run, redo = context.evidence(name), context.evidence(f"{name}_redo")
    segments, steps = redo.rows("segments.jsonl"), redo.rows("steps.jsonl")
    trace, again = run.arrays("trace.safetensors"), redo.arrays("redone.safetensors")
    starts = [segments[row["segment"]]["start"] for row in steps]
    far = [row["distance"] for row in segments if row["distance"] is not None]
    turned: list[float] = []
    for row, start, weights, moment in zip(steps, starts, again["weights"], again["first_moment"], strict=True):
        claimed, zero = trace["first_moment"][row["step"]], np.zeros_like(moment)
        turned.append(_distance(zero, claimed, moment))
        # AdamW's first steps are signs of gradients, which rounding turns where those are small.
        if start > 0:
            far.append(_distance(trace["weights"][start], trace["weights"][row["step"]], weights))
    yield Measurement("distance", max(far), "relative", n=len(far))
    yield Measurement("moment_distance", max(turned), "relative", n=len(turned))
    logged = {row["step"]: row for row in run.rows("metrics.jsonl")}
    wrong = [abs((logged[row["step"]][key] or 0.0) - row[key]) for row in steps for key in ("ce", "kl", "total")]
    yield Measurement("loss_difference", max(wrong), "nat/token", n=len(steps))
    broken = sum(row["broken"] for row in segments) + redo.json("released.json")["broken"]
    yield Measurement("broken_links", broken, "entries", n=len(segments) + 1)
    resumed = run.json("custody.json")["resumed"]
    made = {row["step"] for row in steps}
    rows = len(trace["weights"])
    yield Measurement("resumptions", len(resumed), "resumptions", n=rows)
    yield Measurement("unredone_resumptions", _unredone(resumed, made, rows), "resumptions", n=rows)
    total = rows - 1
    yield Measurement("redone_share", 100.0 * len(made) / total, "%", n=total)
    yield Measurement("missed_if_a_tenth", _missed(made, total), "%", n=total)


def _distance(start: NDArray[Any], claimed: NDArray[Any], redone: NDArray[Any]) -> float:
    before, due, found = (each.astype(np.float64) for each in (start, claimed, redone))
    return float(np.linalg.norm(found - due) / max(np.linalg.norm(due - before), np.linalg.norm(found - before)))


def _unredone(resumed: list[dict[str, int]], made: set[int], rows: int) -> int:
    """Resumptions of which a step up to the loaded checkpoint, or the one after it, was not made again."""
    around = [set(range(each["since"] + 1, min(each["at"] + 2, rows))) for each in resumed]
    return sum(not steps <= made for steps in around)


def _missed(made: set[int], total: int) -> float:
    """Share, in percent, of the places of a tenth of all steps, in a row, that hold none of those made again."""
    length = max(total // 10, 1)
    unseen = np.array([step not in made for step in range(1, total + 1)])
    places = np.lib.stride_tricks.sliding_window_view(unseen, length)
    return 100.0 * float(places.all(axis=1).mean())
