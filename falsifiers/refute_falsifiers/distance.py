"""Are a run's held-out losses, and its distance to the teacher, those of the files that it left?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good


def _scored(bench: Bench, *, only: int | None = None, curve: float = 0.0, cosine: float = 0.0, **off: float) -> None:
    """Six windows of eight tokens: what the run says, and the same scored again but for what is `off`."""
    run = str(bench.parameters["run"])
    names = ("kl_initial", "kl", "cosine_initial", "cosine", "ce_initial", "ce")
    rows = [
        {"window": n, "tokens": 8}
        | {name: 0.5 + n / 10 + (off.get(name, 0.0) if only in (None, n) else 0.0) for name in names}
        for n in range(6)
    ]
    bench.put(f"{run}_redo", "heldout.jsonl", rows)
    bench.put(
        run,
        "heldout_windows.jsonl",
        [{"window": n} | dict.fromkeys(("kl", "ce", "ce_initial"), 0.5 + n / 10) for n in range(6)],
    )
    first = {"step": 0, "heldout_kl": 0.75, "probe_cosine": 0.75}
    bench.put(run, "evals.jsonl", [first, {"step": 9, "heldout_kl": 0.75 + curve, "probe_cosine": 0.75 + cosine}])
    bench.put(run, "summary.json", {"model_step": 9})


def a_distance_that_holds(bench: Bench) -> None:
    """KL and cosine, before and after, are what the files give."""
    _scored(bench)


def one_window_closer_than_it_is(bench: Bench) -> None:
    """One window's KL to the teacher is larger than the run says, another's is as much smaller."""
    _scored(bench, only=3, kl=0.02)


def one_window_easier_than_it_is(bench: Bench) -> None:
    """One window's cross-entropy is larger than the run says."""
    _scored(bench, only=2, ce=0.02)


def one_window_harder_before_than_it_is(bench: Bench) -> None:
    """One window's cross-entropy before the run is smaller than the run says."""
    _scored(bench, only=2, ce_initial=-0.02)


def one_window_further_than_it_is(bench: Bench) -> None:
    """One window's KL to the teacher is smaller than the run says."""
    _scored(bench, only=3, kl=-0.02)


def a_curve_that_ends_too_low(bench: Bench) -> None:
    """The curve of the KL ends below that of the windows."""
    _scored(bench, curve=-0.2)


def an_init_further_than_it_is(bench: Bench) -> None:
    """The KL before the first step is smaller than the curve says: there is less to gain."""
    _scored(bench, kl_initial=-0.3)


def a_cosine_that_was_made_up(bench: Bench) -> None:
    """The cosine of the released step is higher than that of the files."""
    _scored(bench, cosine=0.1)


def a_cosine_that_began_higher(bench: Bench) -> None:
    """The cosine before the first step is higher than the curve says."""
    _scored(bench, cosine_initial=0.1)


_TEACHER: dict[str, Any] = {
    "measures": {"window_difference": "nat/token", "curve_difference": "nat/token", "cosine_difference": "cosine"},
    "controls": (
        known_good(a_distance_that_holds),
        known_bad(one_window_closer_than_it_is),
        known_bad(one_window_further_than_it_is),
        known_bad(one_window_easier_than_it_is),
        known_bad(one_window_harder_before_than_it_is),
        known_bad(a_curve_that_ends_too_low),
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

    `curve_difference` and `cosine_difference` compare the first evaluation, and the one at the released step.
    """
    name = str(context.parameters["run"])
    run, again = context.evidence(name), context.evidence(f"{name}_redo").rows("heldout.jsonl")
    windows = {row["window"]: row for row in run.rows("heldout_windows.jsonl")}
    kinds = ("kl", "ce", "ce_initial")
    worst = max(abs(row[kind] - windows[row["window"]][kind]) for row in again for kind in kinds)
    yield Measurement("window_difference", worst, "nat/token", n=len(again))
    evals = {row["step"]: row for row in run.rows("evals.jsonl")}
    first, last = evals[0], evals[run.json("summary.json")["model_step"]]
    off = [abs(_mean(again, f"kl{part}") - row["heldout_kl"]) for part, row in (("_initial", first), ("", last))]
    yield Measurement("curve_difference", max(off), "nat/token", n=len(again))
    off = [abs(_mean(again, f"cosine{part}") - row["probe_cosine"]) for part, row in (("_initial", first), ("", last))]
    yield Measurement("cosine_difference", max(off), "cosine", n=len(again))


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    """Over all predicted tokens."""
    return float(sum(row[key] * row["tokens"] for row in rows) / sum(row["tokens"] for row in rows))
