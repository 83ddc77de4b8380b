"""Do steps of a run, made again by the auditors, lead where the run says that they led?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Control, Measurement, falsifier, known_bad, known_good, known_unusable

Array = NDArray[np.float64]

_ENTRIES = 16
# Start, end, and what the end is compared with: the first steps, drawn ones, the last ones.
_SEGMENTS = ((0, 2, "trace"), (7, 9, "trace"), (18, 20, "model"))
_SHARES = ("redone_share", "missed_if_a_tenth")
# What a control counts, whatever the bar.
_MOST = 10_000
# What float32 makes of a distance.
_ROUNDING = 1e-4
# Steps after a state over which rounding stays small; the way to a resumption may be longer.
_CALM = 8


@dataclass(frozen=True, slots=True)
class _Plan:
    """A run of so many steps, the segments that were made again, and its resumptions: since when, and where."""

    segments: Sequence[tuple[int, int, str]] = _SEGMENTS
    resumed: Sequence[tuple[int, int]] = ()
    steps: int = 20

    def made(self) -> set[int]:
        """The steps that were made again."""
        return {step for start, end, _ in self.segments for step in range(start + 1, end + 1)}

    def compared(self) -> set[int]:
        """Those over which rounding stays small."""
        return {step for start, end, _ in self.segments for step in range(start + 1, min(end, start + _CALM) + 1)}

    def unredone(self) -> int:
        """Resumptions of which a step is missing among them."""
        made = self.made()
        return sum(not made >= set(range(since + 1, min(at + 1, self.steps) + 1)) for since, at in self.resumed)

    def measured(self) -> Iterator[Measurement]:
        """The shares that it comes to: of a tenth in a row, from the runs of steps that nobody made again."""
        made, length = self.compared(), max(self.steps // 10, 1)
        runs = "".join("#" if step in made else "." for step in range(1, self.steps + 1)).split("#")
        missed = sum(max(len(run) - length + 1, 0) for run in runs)
        yield Measurement("redone_share", 100 * len(made) / self.steps, "%", self.steps)
        yield Measurement("missed_if_a_tenth", 100 * missed / (self.steps - length + 1), "%", self.steps)


_PLAN = _Plan()


def _plans() -> Iterator[_Plan]:
    """Shorter and longer runs with steps made again at the beginning, and one in each of the last tenths."""
    for (steps, most), spread in product(((40, 40), (400, 12)), range(11)):
        for count in range(max(spread, 1), most + 1):
            late = {steps - n * steps // 10 for n in range(spread)}
            early = [step for step in range(1, steps + 1) if step not in late][: count - spread]
            made = late.union(early)
            yield _Plan([(step - 1, step, "model") for step in sorted(made)], (), steps)


def _chosen(bench: Bench, failing: str, story: _Plan) -> _Plan:
    """The first plan whose shares are what the bars want, with as many more resumptions as they want."""
    unredone = _count(bench, "unredone_resumptions", failing, story.unredone())
    plans = (plan for plan in (story, *_plans()) if len(plan.made()) < plan.steps or unredone == plan.unredone())
    plan = bench.choose(plans, _Plan.measured, failing=[failing] if failing in _SHARES else [])
    bar, own = bench.bar("resumptions"), len(plan.resumed) + unredone - plan.unredone()
    find, wanted = (bar.failing, 101) if failing == "resumptions" else (bar.holding, own)
    total = int(find(wanted, low=unredone, high=_MOST, whole=True))
    plan = plan if own <= total else replace(plan, resumed=())
    strange = next((step for step in range(plan.steps) if step + 1 not in plan.made()), 0)
    resumed = [*plan.resumed, *[(strange, strange)] * (unredone - plan.unredone())]
    known = min(plan.made()) - 1
    return replace(plan, resumed=[*resumed, *[(known, known)] * (total - len(resumed))])


def _count(bench: Bench, measurement: str, failing: str, own: int) -> int:
    """So many that the bar is cleared or, where it is the `failing` one, is not: `own` of them at least."""
    bar = bench.bar(measurement)
    return int((bar.failing if measurement == failing else bar.holding)(own, low=own, high=_MOST, whole=True))


def _off(bench: Bench, measurement: str, failing: str, wrong: float, **limits: Any) -> float:
    """0, or another error that clears its bar; where that is the `failing` one, `wrong` or another that does not."""
    bar = bench.bar(measurement)
    if measurement == failing:
        return bar.failing(wrong, low=0.0, **limits)
    return bar.holding(0.0, low=0.0, **limits)


def _redone(
    bench: Bench,
    failing: str = "",
    wrong: float = 0.0,
    story: _Plan = _PLAN,
    *,
    only: int = 0,
    alone: bool = False,
    turned: float = 0.0,
    still: bool = False,
    loss: str = "ce",
    released: float = 0.0,
    taught: bool = True,
    norm: float = 0.0,
) -> None:
    """A run and its redone segments. The bar of `failing` is failed, by `wrong` if it is by that; the others hold.

    Weights and moments are off in the step `only`, or in all; `alone`: no step is, and the whole model. `turned` are
    the weights of the second step, besides. `released`: the share of broken links that are the released weights'.
    `norm`: what is off of the moments is off, by this sign, of the norm in the log alone.
    """
    plan = _chosen(bench, failing, story)
    far = _off(bench, "distance", failing, wrong, high=2.0, within=_ROUNDING)
    resumes = any(target == "state" for *_, target in plan.segments)
    strayed = _off(bench, "resumed_distance", failing, wrong, high=2.0 if resumes else 0.0)
    slope = _off(bench, "moment_distance", failing, wrong, high=2.0, within=_ROUNDING)
    error = _off(bench, "loss_difference", failing, wrong, clear=True)
    broken = int(_off(bench, "broken_links", failing, wrong, high=_MOST, whole=True))
    redone = [(n, start, step) for n, (start, end, _) in enumerate(plan.segments) for step in range(start + 1, end + 1)]
    here = {step for _, _, step in redone if step == only} or plan.made()
    bearing = {step for _, start, step in redone if start > 0 and step in here and not alone}
    chance, still = np.random.default_rng(17), still and far == wrong
    moves = chance.normal(0.0, 1e-3, (plan.steps, _ENTRIES)) * (not still)
    trace = np.cumsum(np.concatenate([chance.normal(0.0, 0.05, (1, _ENTRIES)), moves]), axis=0)
    moments = chance.normal(0.0, 1e-4, (plan.steps + 1, _ENTRIES))
    weights = []
    for _, start, step in redone:
        share = far if step in bearing else turned if (start, step) == (0, 2) else 0.0
        weights.append(trace[step] - share * (trace[step] - trace[start]) + 1e-3 * still)
    # After many steps rounding may have turned a moment altogether.
    turns = [-1.0 if step - start > _CALM else 1.0 - slope * (not norm and step in here) for _, start, step in redone]
    slopes = [moments[step] * turn for turn, (*_, step) in zip(turns, redone, strict=True)]
    said = {loss: -error if loss == "total" else error, "grad_norm": 2.0 * slope * norm}
    _put_logs(bench, plan, [(n, step) for n, _, step in redone], said, taught=taught)
    kept = broken - int(broken * released)
    parts = [
        {"segment": n, "start": start, "end": end, "target": target, "broken": kept * (n == 0)}
        | {"distance": {"trace": None, "state": strayed, "model": 0.0 if bearing else far}[target]}
        for n, (start, end, target) in enumerate(plan.segments)
    ]
    run = str(bench.parameters["run"])
    bench.put_arrays(run, "trace.safetensors", _singles(weights=trace, first_moment=moments))
    bench.put(f"{run}_redo", "segments.jsonl", parts)
    bench.put(f"{run}_redo", "released.json", {"broken": broken - kept})
    bench.put_arrays(f"{run}_redo", "redone.safetensors", _singles(weights=weights, first_moment=slopes))


def _singles(**arrays: Any) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(each).astype("f4") for name, each in arrays.items()}


def _put_logs(
    bench: Bench, plan: _Plan, redone: Sequence[tuple[int, int]], off: Mapping[str, float], *, taught: bool
) -> None:
    """What run and redo say of their losses; that of the first redone step is `off` in the run."""
    run = str(bench.parameters["run"])
    parts: dict[str, float | None] = {"ce": 3.0, "kl": 0.5 if taught else None, "total": 2.3, "grad_norm": 2.0}
    metrics = [{"step": n} | parts for n in range(1, plan.steps + 1)]
    first = metrics[redone[0][1] - 1]
    first |= {name: (parts[name] or 0.0) + error for name, error in off.items()}
    rows = [{"segment": n, "step": step} | parts | {"kl": parts["kl"] or 0.0} for n, step in redone]
    resumed = [{"since": since, "at": at} for since, at in plan.resumed]
    bench.put(run, "metrics.jsonl", metrics)
    bench.put(run, "custody.json", {"entropy": "0" * 32, "resumed": resumed})
    bench.put(f"{run}_redo", "steps.jsonl", rows)


def a_run_found_again(bench: Bench) -> None:
    """Every redone step ends where the run says, up to rounding."""
    _redone(bench)


def a_run_found_again_after_a_kill(bench: Bench) -> None:
    """The steps that led to its checkpoint, and those after it, were made again."""
    _redone(bench, story=_KILLED)


def a_run_without_a_teacher(bench: Bench) -> None:
    """Cross-entropy alone: there is no KL in the log."""
    _redone(bench, taught=False)


def steps_that_lead_elsewhere(bench: Bench) -> None:
    """The gradient was another from the second step on, as with a teacher switched off."""
    _redone(bench, "distance", 0.3)


def one_step_that_leads_elsewhere(bench: Bench) -> None:
    """All redone steps but one end where the run says."""
    _redone(bench, "distance", 0.3, only=8)


def first_steps_that_rounding_turns(bench: Bench) -> None:
    """AdamW begins with the signs of gradients, and rounding turns those of the smallest."""
    _redone(bench, turned=0.2)


def weights_that_stand_still(bench: Bench) -> None:
    """The run did not move where the redone steps do."""
    _redone(bench, "distance", 1.0, still=True)


def _wrong(name: str, failing: str, by: float, **how: Any) -> Control:
    """A run in which one thing is not what it says, by so much."""
    return known_bad(lambda bench: _redone(bench, failing, by, **how), name=name)


# One resumption: what led to the state that was loaded, and what followed.
_KILLED = _Plan((*_SEGMENTS, (5, 10, "state"), (10, 11, "trace")), [(5, 10)])
# The state is what a segment began with; where losses are wrong, weights are right. In the second step weights say
# little. Clipping and AdamW give a gradient the length that it should have; the log has its own. Of another model the
# sampled entries are those of the run.
_WRONG = (
    _wrong("a gradient of another loss in the second step", "moment_distance", 0.3, only=2),
    _wrong("a gradient twice as long", "moment_distance", 1.0, norm=1.0),
    _wrong("a gradient half as long", "moment_distance", 0.6, norm=-1.0),
    _wrong("another model at the end", "distance", 0.4, alone=True),
    _wrong("another model at a resumption", "resumed_distance", 1.2, story=_KILLED),
    _wrong("a state edited", "broken_links", 3),
    _wrong("both ends edited", "broken_links", 6, released=0.5),
    _wrong("a release of another step", "broken_links", 5, released=1.0),
    _wrong("a loss of other labels", "loss_difference", 0.2),
    _wrong("a kl to another teacher", "loss_difference", 0.2, loss="kl"),
    _wrong("a total of other weights", "loss_difference", 0.4, loss="total"),
)


def a_resumption_that_nobody_redid(bench: Bench) -> None:
    """The run was interrupted; its way to the checkpoint that was loaded is not among the redone steps."""
    _redone(bench, "unredone_resumptions", story=_Plan((*_SEGMENTS, (10, 12, "trace")), [(5, 10)]))


def a_resumption_redone_up_to_it(bench: Bench) -> None:
    """The steps after the checkpoint that was loaded are not among the redone ones."""
    _redone(bench, "unredone_resumptions", story=_Plan((*_SEGMENTS, (5, 10, "state")), [(5, 10)]))


def a_run_interrupted_all_the_time(bench: Bench) -> None:
    """Each time what led to the checkpoint and what followed was made again; nobody saw the machine so often."""
    _redone(bench, "resumptions", story=_KILLED)


def hardly_a_step_of_many(bench: Bench) -> None:
    """Two steps of five thousand were made again, in the middle."""
    _redone(bench, "redone_share", story=_Plan([(2500, 2502, "trace")], steps=5000))


def a_long_run_of_which_enough_was_redone(bench: Bench) -> None:
    """Two steps of four hundred were made again, in the middle."""
    _redone(bench, story=_Plan([(200, 202, "trace")], steps=400))


def a_run_redone_from_end_to_end(bench: Bench) -> None:
    """Nothing was redone but what led to its resumption, and the one step after it."""
    _redone(bench, story=_Plan([(0, 10, "state"), (10, 11, "trace")], [(0, 10)], steps=11))


def a_resumption_of_which_a_step_is_missing(bench: Bench) -> None:
    """The first step after the checkpoint before it was not made again."""
    segments = (*_SEGMENTS, (6, 10, "state"), (10, 12, "trace"))
    _redone(bench, "unredone_resumptions", story=_Plan(segments, [(5, 10)]))


def steps_where_no_fault_would_be(bench: Bench) -> None:
    """Two steps of four hundred were made again, both at the very beginning."""
    _redone(bench, "missed_if_a_tenth", story=_Plan([(0, 2, "model")], steps=400))


def a_run_of_which_nothing_was_redone(bench: Bench) -> None:
    """There are weights of other steps than there are rows."""
    _redone(bench)
    nothing = np.zeros((0, _ENTRIES), "f4")
    again = {"weights": nothing, "first_moment": nothing}
    bench.put_arrays(f"{bench.parameters['run']}_redo", "redone.safetensors", again)


def foreign_text_as_this_run_sees_it(bench: Bench) -> None:
    """A step of this run made again on text that nobody has written, as the auditors make it."""
    run = str(bench.parameters["run"])
    own, redo = bench.real[run], bench.real[f"{run}_redo"]
    segments = redo.rows("foreign_segments.jsonl")
    end = max(row["end"] for row in segments)
    trace = {name: rows[: end + 1] for name, rows in own.arrays("trace.safetensors").items()}
    bench.put_arrays(run, "trace.safetensors", trace)
    bench.put(run, "metrics.jsonl", own.rows("metrics.jsonl")[:end])
    bench.put(run, "custody.json", {**own.json("custody.json"), "resumed": []})
    bench.put(f"{run}_redo", "segments.jsonl", segments)
    bench.put(f"{run}_redo", "steps.jsonl", redo.rows("foreign_steps.jsonl"))
    bench.put(f"{run}_redo", "released.json", redo.json("released.json"))
    bench.put_arrays(f"{run}_redo", "redone.safetensors", redo.arrays("foreign.safetensors"))
    # Whichever bars there are: text that is foreign to this model shows in its loss, or in its gradient.
    found = {each.name: each.value for each in segments_redone(bench.context())}
    far = [name for name in ("distance", "moment_distance", "loss_difference") if name in bench.bars]
    if all(bench.bar(name).satisfied_by(found[name]) for name in far):
        name = far[0] if far else "distance"
        bench.bar(name).failing(found[name], low=found[name], high=found[name])


_REDONE: dict[str, Any] = {
    "measures": {
        "distance": "relative",
        "resumed_distance": "relative",
        "moment_distance": "relative",
        "loss_difference": "nat/token",
        "broken_links": "entries",
        "unredone_resumptions": "resumptions",
        "resumptions": "resumptions",
        "redone_share": "%",
        "missed_if_a_tenth": "%",
    },
    "controls": (
        *map(known_good, (a_run_found_again, a_run_found_again_after_a_kill, a_run_without_a_teacher)),
        *map(known_good, (first_steps_that_rounding_turns, a_long_run_of_which_enough_was_redone)),
        known_good(a_run_redone_from_end_to_end),
        *map(known_bad, (steps_that_lead_elsewhere, one_step_that_leads_elsewhere, weights_that_stand_still)),
        *_WRONG,
        *map(known_bad, (foreign_text_as_this_run_sees_it, a_resumption_that_nobody_redid)),
        *map(known_bad, (a_resumption_redone_up_to_it, a_resumption_of_which_a_step_is_missing)),
        *map(known_bad, (a_run_interrupted_all_the_time, hardly_a_step_of_many, steps_where_no_fault_would_be)),
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
    segment, and over the released model; `resumed_distance` that of the states that the run went on from, after as many
    steps as led there. `moment_distance` is that of AdamW's first moment, which is made of gradients alone, or of the
    gradient's norm. Steps are compared up to the eighth after a state: then rounding grows. A fault of the gradient
    that lasts one step is missed unless it falls into `redone_share`; one that lasts a tenth of the run, at
    `missed_if_a_tenth` of its places; one that lasts, never.
    """
    name = str(context.parameters["run"])
    run, redo = context.evidence(name), context.evidence(f"{name}_redo")
    segments, steps = redo.rows("segments.jsonl"), redo.rows("steps.jsonl")
    trace, again = run.arrays("trace.safetensors"), redo.arrays("redone.safetensors")
    starts = [segments[row["segment"]]["start"] for row in steps]
    far = [row["distance"] for row in segments if row["target"] == "model"]
    strayed = [row["distance"] for row in segments if row["target"] == "state"]
    calm, turned = list[dict[str, Any]](), list[float]()
    for row, start, weights, moment in zip(steps, starts, again["weights"], again["first_moment"], strict=True):
        if row["step"] - start > _CALM:
            continue
        calm.append(row)
        turned.append(_distance(np.zeros_like(moment), trace["first_moment"][row["step"]], moment))
        # AdamW's first steps are signs of gradients, which rounding turns where those are small.
        if start > 0:
            far.append(_distance(trace["weights"][start], trace["weights"][row["step"]], weights))
    yield Measurement("distance", max(far), "relative", n=len(far))
    yield Measurement("resumed_distance", max(strayed, default=0.0), "relative", n=len(segments))
    logged = run.rows_by("metrics.jsonl", "step")
    longer = [abs(logged[row["step"]]["grad_norm"] - row["grad_norm"]) / row["grad_norm"] for row in calm]
    yield Measurement("moment_distance", max(*turned, *longer), "relative", n=len(turned))
    wrong = [abs((logged[row["step"]][key] or 0.0) - row[key]) for row in calm for key in ("ce", "kl", "total")]
    yield Measurement("loss_difference", max(wrong), "nat/token", n=len(calm))
    broken = sum(row["broken"] for row in segments) + redo.json("released.json")["broken"]
    yield Measurement("broken_links", broken, "entries", n=len(segments) + 1)
    resumed = run.json("custody.json")["resumed"]
    made, compared = ({row["step"] for row in rows} for rows in (steps, calm))
    rows = len(trace["weights"])
    yield Measurement("resumptions", len(resumed), "resumptions", n=rows)
    yield Measurement("unredone_resumptions", _unredone(resumed, made, rows), "resumptions", n=rows)
    total = rows - 1
    yield Measurement("redone_share", 100.0 * len(compared) / total, "%", n=total)
    yield Measurement("missed_if_a_tenth", _missed(compared, total), "%", n=total)


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
