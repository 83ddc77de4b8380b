"""Do the files that a run has left score what the run says of itself?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

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


def _put_real_account(bench: Bench, rows: Sequence[Mapping[str, Any]], tensors: Mapping[str, int]) -> None:
    """The run's own account, held against `rows` and `tensors`."""
    run = str(bench.parameters["run"])
    account = bench.real[run]
    for file in ("heldout_windows.jsonl", "evals.jsonl"):
        bench.put(run, file, account.rows(file))
    bench.put(run, "summary.json", account.json("summary.json"))
    bench.put(f"{run}_audit", "heldout.jsonl", rows)
    bench.put(f"{run}_audit", "tensors.json", tensors)


def windows_that_the_run_did_not_score(bench: Bench) -> None:
    """Nobody can say whether they are worse."""
    _account(bench)
    windows = [{"window": n, "ce_initial": 4.0 + n, "ce": 2.0 + n, "kl": 0.5} for n in range(2)]
    bench.put(str(bench.parameters["run"]), "heldout_windows.jsonl", windows)


def a_perturbed_tensor_of_this_run(bench: Bench) -> None:
    """These very files with one tensor scaled, as this run's audit sees them."""
    audit, run = bench.real[f"{bench.parameters['run']}_audit"], bench.real[str(bench.parameters["run"])]
    rows, windows = audit.rows("perturbed.jsonl"), run.rows("heldout_windows.jsonl")
    off = _furthest(rows, windows, "ce")
    bench.bar("final_difference").failing(off, low=off, high=off)
    _put_real_account(bench, rows, audit.json("tensors.json"))


def the_init_as_this_run_sees_it(bench: Bench) -> None:
    """The init's own tensors in the place of the student's, as this run's audit compares them."""
    audit = bench.real[f"{bench.parameters['run']}_audit"]
    tensors = audit.json("untrained.json")
    bench.bar("unchanged_tensors").failing(tensors["unchanged"], low=tensors["unchanged"], high=tensors["unchanged"])
    _put_real_account(bench, audit.rows("heldout.jsonl"), tensors)


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
        known_bad(a_perturbed_tensor_of_this_run),
        known_bad(the_init_as_this_run_sees_it),
        known_unusable(windows_that_the_run_did_not_score, raises=ValueError),
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
    windows, again = student.rows_by("heldout_windows.jsonl", "window"), audit.rows("heldout.jsonl")
    if any(row["window"] not in windows for row in again):
        raise ValueError(f"{run} scored held-out windows {list(windows)}, and not all that were scored again")
    for name, key in (("initial_difference", "ce_initial"), ("final_difference", "ce")):
        yield Measurement(name, _furthest(again, windows.values(), key), "nat/token", n=len(again))
    evals = student.rows_by("evals.jsonl", "step")
    last = evals[student.json("summary.json")["model_step"]]
    means = {key: sum(row[key] for row in windows.values()) / len(windows) for key in ("ce_initial", "ce")}
    off = [abs(evals[0]["heldout_ce"] - means["ce_initial"]), abs(last["heldout_ce"] - means["ce"])]
    yield Measurement("curve_difference", max(off), "nat/token", n=len(windows))
    tensors = audit.json("tensors.json")
    yield Measurement("unchanged_tensors", tensors["unchanged"], "tensors", n=tensors["tensors"])


def _furthest(again: Sequence[Mapping[str, Any]], windows: Iterable[Mapping[str, Any]], key: str) -> float:
    """The largest difference of a window's loss `key` from what the run says of that window."""
    told = {row["window"]: row[key] for row in windows}
    return float(max(abs(row[key] - told[row["window"]]) for row in again))
