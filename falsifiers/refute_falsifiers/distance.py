"""Are a run's held-out losses, and its distance to the teacher, those of the files that it left?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from refute import Bench, Context, Measurement, RefuteError, falsifier, known_bad, known_good, known_unusable

# The windows' own part of what is said of each; sums of eighths are exact, and so is their mean.
_PARTS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625)
_MEAN = sum(_PARTS) / len(_PARTS)
_RIGHT = {"window_difference": 0.0, "curve_difference": 0.0, "cosine_difference": 0.0}


def _scored(
    bench: Bench,
    wrong: Mapping[str, float] = MappingProxyType({}),
    *,
    kind: str = "kl",
    window: int = 3,
    sign: float = 1.0,
    end: str = "",
    curve_of: str = "kl",
) -> list[dict[str, Any]]:
    """Six windows of eight tokens, and states of steps 5 and 7: what the run says, and the same scored again.

    What is `wrong` fails its bar: the `kind` of one window by this `sign`, or the curve `curve_of` something at its
    `end`. Whatever may be off under the bars is off there, too.
    """
    found = bench.values(_RIGHT, wrong, low=0.0, clear=True)
    # Above 0 whatever is taken from it.
    base = {"kl": 0.5, "ce": 0.5, "ce_initial": 0.5} | {kind: 0.5 + math.ceil(found["window_difference"])}
    base |= {"kl_initial": base["kl"], "cosine": 0.0, "cosine_initial": 0.0}
    again = [{"window": n, "tokens": 8} | {name: base[name] + part for name in base} for n, part in enumerate(_PARTS)]
    said = [{"window": row["window"]} | {name: row[name] for name in ("kl", "ce", "ce_initial")} for row in again]
    said[window][kind] -= sign * found["window_difference"]
    exact = {name: base[name] + _MEAN for name in base}
    off = {f"{curve_of}{end}": sign * found["curve_difference"], f"cosine{end}": sign * found["cosine_difference"]}
    curve = [
        {"heldout_kl": exact[f"kl{place}"] - off.get(f"kl{place}", 0.0)}
        | {"probe_cosine": exact[f"cosine{place}"] - off.get(f"cosine{place}", 0.0)}
        for place in ("_initial", "")
    ]
    names = {"heldout_ce": "ce", "heldout_kl": "kl", "probe_cosine": "cosine"}
    between = {key: exact[name] - off.get(f"{name}_midway", 0.0) for key, name in names.items()}
    run = str(bench.parameters["run"])
    right = {key: exact[name] for key, name in names.items()}
    bench.put(f"{run}_redo", "curve.jsonl", [{"step": 5} | right, {"step": 7} | right])
    bench.put(f"{run}_redo", "heldout.jsonl", again)
    bench.put(run, "heldout_windows.jsonl", said)
    rows = [{"step": 0} | curve[0], {"step": 5} | between, {"step": 7} | right, {"step": 9} | curve[1]]
    bench.put(run, "evals.jsonl", rows)
    bench.put(run, "summary.json", {"model_step": 9})
    return rows


def a_distance_that_holds(bench: Bench) -> None:
    """KL and cosine, before and after, are what the files give."""
    _scored(bench)


def one_window_closer_than_it_is(bench: Bench) -> None:
    """One window's KL to the teacher is larger than the run says."""
    _scored(bench, {"window_difference": 0.02})


def one_window_easier_than_it_is(bench: Bench) -> None:
    """One window's cross-entropy is larger than the run says."""
    _scored(bench, {"window_difference": 0.02}, kind="ce", window=2)


def one_window_harder_before_than_it_is(bench: Bench) -> None:
    """One window's cross-entropy before the run is smaller than the run says."""
    _scored(bench, {"window_difference": 0.02}, kind="ce_initial", window=2, sign=-1.0)


def one_window_further_than_it_is(bench: Bench) -> None:
    """One window's KL to the teacher is smaller than the run says."""
    _scored(bench, {"window_difference": 0.02}, sign=-1.0)


def a_curve_that_ends_too_low(bench: Bench) -> None:
    """The curve of the KL ends below that of the windows."""
    _scored(bench, {"curve_difference": 0.2})


def a_teacher_asked_at_both_ends(bench: Bench) -> None:
    """Between the first evaluation and the last one the run knows its loss alone."""
    first, *between, last = _scored(bench)
    unknown = {"heldout_kl": None, "probe_cosine": None}
    bench.put(str(bench.parameters["run"]), "evals.jsonl", [first, *(row | unknown for row in between), last])


def a_curve_that_falls_too_early(bench: Bench) -> None:
    """In the middle of the run the loss is higher than was written down then."""
    _scored(bench, {"curve_difference": 0.2}, curve_of="ce", end="_midway")


def a_distance_that_shrinks_too_early(bench: Bench) -> None:
    """In the middle of the run the KL is higher than was written down then."""
    _scored(bench, {"curve_difference": 0.2}, end="_midway")


def a_cosine_that_rises_too_early(bench: Bench) -> None:
    """In the middle of the run the cosine is lower than was written down then."""
    _scored(bench, {"cosine_difference": 0.1}, sign=-1.0, end="_midway")


def a_state_that_the_run_did_not_score(bench: Bench) -> None:
    """There is nothing to hold the curve against."""
    first, between, *others = _scored(bench)
    bench.put(str(bench.parameters["run"]), "evals.jsonl", [first, between | {"step": 4}, *others])


def an_init_further_than_it_is(bench: Bench) -> None:
    """The KL before the first step is smaller than the curve says: there is less to gain."""
    _scored(bench, {"curve_difference": 0.3}, sign=-1.0, end="_initial")


def a_cosine_that_was_made_up(bench: Bench) -> None:
    """The cosine of the released step is higher than that of the files."""
    _scored(bench, {"cosine_difference": 0.1}, sign=-1.0)


def a_cosine_that_began_higher(bench: Bench) -> None:
    """The cosine before the first step is higher than the curve says."""
    _scored(bench, {"cosine_difference": 0.1}, end="_initial")


def _said(bench: Bench) -> list[dict[str, Any]]:
    """What the run says of windows that hold."""
    _scored(bench)
    return [{"window": n} | dict.fromkeys(("kl", "ce", "ce_initial"), 0.5 + part) for n, part in enumerate(_PARTS)]


def a_window_that_the_run_did_not_score(bench: Bench) -> None:
    """The hardest one is left out."""
    bench.put(str(bench.parameters["run"]), "heldout_windows.jsonl", _said(bench)[:-1])


def a_window_that_only_the_run_scored(bench: Bench) -> None:
    """One more, which suits."""
    said = _said(bench)
    bench.put(str(bench.parameters["run"]), "heldout_windows.jsonl", [*said, said[0] | {"window": 6}])


def every_window_twice(bench: Bench) -> None:
    """A better row stands before each true one: who takes the last sees the true ones, who takes all a lower mean."""
    said = _said(bench)
    better = [row | {"ce": row["ce"] / 4} for row in said]
    bench.put(str(bench.parameters["run"]), "heldout_windows.jsonl", [*better, *said])


_TEACHER: dict[str, Any] = {
    "measures": {"window_difference": "nat/token", "curve_difference": "nat/token", "cosine_difference": "cosine"},
    "controls": (
        known_good(a_distance_that_holds),
        known_bad(one_window_closer_than_it_is),
        known_bad(one_window_further_than_it_is),
        known_bad(one_window_easier_than_it_is),
        known_bad(one_window_harder_before_than_it_is),
        known_bad(a_curve_that_ends_too_low),
        known_good(a_teacher_asked_at_both_ends),
        known_bad(a_curve_that_falls_too_early),
        known_bad(a_distance_that_shrinks_too_early),
        known_bad(a_cosine_that_rises_too_early),
        known_unusable(a_state_that_the_run_did_not_score, raises=ValueError),
        known_unusable(a_window_that_the_run_did_not_score, raises=ValueError),
        known_unusable(a_window_that_only_the_run_scored, raises=ValueError),
        known_unusable(every_window_twice, raises=RefuteError),
        known_bad(an_init_further_than_it_is),
        known_bad(a_cosine_that_was_made_up),
        known_bad(a_cosine_that_began_higher),
    ),
}


@falsifier("teacher-distance", needs=("student", "student_redo"), parameters={"run": "student"}, **_TEACHER)
@falsifier(
    "control-teacher-distance", needs=("ce_control", "ce_control_redo"), parameters={"run": "ce_control"}, **_TEACHER
)
def teacher_distance(context: Context) -> Iterator[Measurement]:
    """Refuted when losses, KL or cosine to the teacher, computed anew from init and model, are not the run's.

    `curve_difference` and `cosine_difference` compare the first evaluation, the one at the released step, and those of
    states that the run kept because they were drawn.
    """
    name = str(context.parameters["run"])
    run, redone = context.evidence(name), context.evidence(f"{name}_redo").rows_by("heldout.jsonl", "window")
    windows, again = run.rows_by("heldout_windows.jsonl", "window"), list(redone.values())
    if windows.keys() != redone.keys():
        raise ValueError(f"{name} scored held-out windows {list(windows)}, and had to score {list(redone)}")
    kinds = ("kl", "ce", "ce_initial")
    worst = max(abs(row[kind] - windows[row["window"]][kind]) for row in again for kind in kinds)
    yield Measurement("window_difference", worst, "nat/token", n=len(again))
    evals = run.rows_by("evals.jsonl", "step")
    first, last = evals[0], evals[run.json("summary.json")["model_step"]]
    kept = context.evidence(f"{name}_redo").rows("curve.jsonl")
    if strange := [row["step"] for row in kept if row["step"] not in evals]:
        raise ValueError(f"{name} has no evaluation of the states that it kept after steps {strange}")
    off = [abs(_mean(again, f"kl{part}") - row["heldout_kl"]) for part, row in (("_initial", first), ("", last))]
    between = [_off(evals, kept, kind) for kind in ("heldout_ce", "heldout_kl")]
    yield Measurement("curve_difference", max(*off, *between), "nat/token", n=len(again))
    off = [abs(_mean(again, f"cosine{part}") - row["probe_cosine"]) for part, row in (("_initial", first), ("", last))]
    yield Measurement("cosine_difference", max(*off, _off(evals, kept, "probe_cosine")), "cosine", n=len(again))


def _off(evals: dict[int, dict[str, Any]], kept: list[dict[str, Any]], kind: str) -> float:
    """The largest difference between what the run wrote down of a kept state and what that state gives."""
    pairs = [(evals[row["step"]][kind], row[kind]) for row in kept]
    return max((abs(told - found) for told, found in pairs if told is not None), default=0.0)


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    """Over all predicted tokens."""
    return float(sum(row[key] * row["tokens"] for row in rows) / sum(row["tokens"] for row in rows))
