"""What a trainer claims of the run that made a finished student. Nothing of it is done again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_NEED, _RUN, _STEPS = "training_record", "record.json", "steps.jsonl"
# A tenth of the logged steps are the first of a run, and a tenth the last: one alone is as its batch was.
_TENTHS = 10
_MIDDLE = 1000.0


def _record(bench: Bench, *, planned: int | None = 0, logged: int = 41, **wrong: float) -> dict[str, Any]:
    """A run as the bars demand, but for what is `wrong`. `planned`: so many steps more, None where nobody said."""
    whole = bench.values({"claimed_steps": 400, "missing_steps": 0}, wrong, low=0, high=10**6, whole=True)
    drop = bench.values({"claimed_loss_drop": 2.0}, wrong, low=-8.0, high=8.0, clear=True)["claimed_loss_drop"]
    ended = whole["claimed_steps"]
    missing = whole["missing_steps"] if planned is not None else 0
    first = max(10.0, drop)
    # The first tenth is told from a shorter one by its last step, and both ends from what lies between them.
    part = math.ceil(logged / _TENTHS)
    begin, end = [0.0] * (part - 1) + [part * first], [first - drop] * part
    losses = [*begin, *[_MIDDLE] * (logged - 2 * part), *end][:logged]
    rows = [{"step": n + 1, "loss": loss, "learning_rate": 1e-4, "tokens": None} for n, loss in enumerate(losses)]
    run = {"origin": "claimed", "tool": "by hand", "steps": ended, "logged": logged}
    run |= {"planned_steps": None if planned is None else ended + missing}
    bench.put(_NEED, _RUN, run)
    bench.put(_NEED, _STEPS, rows)
    return run


def a_run_that_ended(bench: Bench) -> None:
    """As many steps as were planned, and a loss that fell."""
    _record(bench)


def a_run_without_a_plan(bench: Bench) -> None:
    """Nobody said how many steps there were to be."""
    bench.bar("missing_steps").holding(0, low=0, high=0)
    _record(bench, planned=None)


def a_record_of_two_steps(bench: Bench) -> None:
    """A first and a last."""
    _record(bench, logged=2)


def a_run_of_no_length(bench: Bench) -> None:
    """Too few steps."""
    _record(bench, claimed_steps=0)


def a_run_that_was_cut_short(bench: Bench) -> None:
    """It ended before its plan did."""
    _record(bench, missing_steps=100)


def a_loss_that_rose(bench: Bench) -> None:
    """The last steps lost more than the first."""
    _record(bench, claimed_loss_drop=-1.0)


def a_record_of_one_step(bench: Bench) -> None:
    """No first and no last."""
    _record(bench, logged=1)


def a_record_said_to_be_seen(bench: Bench) -> None:
    """Nobody but a gate sees a run, and no gate writes such a record."""
    bench.put(_NEED, _RUN, _record(bench) | {"origin": "reproduced"})


@falsifier(
    "training-as-claimed",
    needs=(_NEED,),
    measures={"claimed_steps": "steps", "missing_steps": "steps", "claimed_loss_drop": "nat/token"},
    controls=(
        known_good(a_run_that_ended),
        known_good(a_run_without_a_plan),
        known_good(a_record_of_two_steps),
        known_bad(a_run_of_no_length),
        known_bad(a_run_that_was_cut_short),
        known_bad(a_loss_that_rose),
        known_unusable(a_record_of_one_step, raises=ValueError),
        known_unusable(a_record_said_to_be_seen, raises=ValueError),
    ),
)
def training_as_claimed(context: Context) -> Iterator[Measurement]:
    """Refuted when the trainer's own record shows too few steps, an early end, or a loss that did not fall.

    All of it is claimed: nothing was done again, and no verdict that rests on it says more.
    """
    evidence = context.evidence(_NEED)
    run, rows = evidence.json(_RUN), list(evidence.rows_by(_STEPS, "step").values())
    if run["origin"] != "claimed":
        raise ValueError(f"the record's origin is {run['origin']!r}: nobody here has seen that run")
    if len(rows) < 2:
        raise ValueError(f"the record logs {len(rows)} steps, and a loss falls between two")
    yield Measurement("claimed_steps", run["steps"], "steps", n=len(rows))
    planned = run["steps"] if run["planned_steps"] is None else run["planned_steps"]
    yield Measurement("missing_steps", max(0, planned - run["steps"]), "steps", n=len(rows))
    losses, part = [row["loss"] for row in rows], math.ceil(len(rows) / _TENTHS)
    drop = statistics.fmean(losses[:part]) - statistics.fmean(losses[-part:])
    yield Measurement("claimed_loss_drop", drop, "nat/token", n=len(rows))
