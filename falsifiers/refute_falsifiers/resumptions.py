"""Was a run resumed where it says so, and nowhere else?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

# Steps after which the run of a control was resumed, twice from the same checkpoint.
_RESUMED = (4, 8, 8)
_STEPS = 12
# Of its resumptions that are false or hidden, whatever the bar.
_MOST = 1_000


def _told(bench: Bench, *, false: int = 0, hidden: int = 0, resumed: Sequence[int] = _RESUMED) -> None:
    """A run with so many `false` or `hidden` resumptions in its last steps, or with as many more as the bar wants."""
    bar, own = bench.bar("misstated_resumptions"), false + hidden
    count = int((bar.failing if own else bar.holding)(own, low=own, high=_MOST, whole=True))
    places = range(_STEPS, _STEPS + count)
    unseen = places[: hidden if false else count * (hidden > 0)]
    steps, changes = _STEPS + count + 1, {*resumed, *unseen}
    attempts = [f"{sum(step > at for at in changes):016x}" for step in range(1, steps + 1)]
    # The last one once all steps were made.
    _put(bench, [*resumed, *places[len(unseen) :], *[steps] * len(resumed)], attempts)


def _put(bench: Bench, resumed: Sequence[int], attempts: Sequence[str]) -> None:
    run = str(bench.parameters["run"])
    told = [{"since": 0, "at": at} for at in resumed]
    bench.put(run, "custody.json", {"entropy": "0" * 32, "resumed": told})
    bench.put(run, "metrics.jsonl", [{"step": n, "attempt": each} for n, each in enumerate(attempts, 1)])


def resumptions_as_they_were(bench: Bench) -> None:
    """Each is told, and where another process goes on, one is."""
    _told(bench)


def a_run_that_was_never_interrupted(bench: Bench) -> None:
    """One process made all steps."""
    _told(bench, resumed=())


def a_resumption_that_never_was(bench: Bench) -> None:
    """It is told that the run was resumed; the same process went on."""
    _told(bench, false=1)


def a_resumption_that_nobody_tells(bench: Bench) -> None:
    """Another process goes on, from whatever it has found."""
    _told(bench, hidden=1)


def one_of_each(bench: Bench) -> None:
    """They must not make up for each other."""
    _told(bench, false=1, hidden=1)


def no_step_at_all(bench: Bench) -> None:
    """Nobody went on."""
    _put(bench, (), ())


_TOLD: dict[str, Any] = {
    "measures": {"misstated_resumptions": "resumptions"},
    "controls": (
        *map(known_good, (resumptions_as_they_were, a_run_that_was_never_interrupted)),
        *map(known_bad, (a_resumption_that_never_was, a_resumption_that_nobody_tells, one_of_each)),
        known_unusable(no_step_at_all, raises=ValueError),
    ),
}


@falsifier("resumptions-told", needs=("student",), parameters={"run": "student"}, **_TOLD)
@falsifier("control-resumptions-told", needs=("ce_control",), parameters={"run": "ce_control"}, **_TOLD)
def resumptions_told(context: Context) -> Iterator[Measurement]:
    """Refuted when another process goes on with a run and no resumption is told, or one is told and none does.

    Each row of the log has what its process drew when it began. A run that was resumed after its last step made none.
    """
    run = context.evidence(str(context.parameters["run"]))
    rows = run.rows_by("metrics.jsonl", "step")
    if not rows:
        raise ValueError(f"evidence {run.name} logs no step")
    told = {each["at"] for each in run.json("custody.json")["resumed"]} - {max(rows)}
    seen = {step for step, after in pairwise(sorted(rows)) if rows[step]["attempt"] != rows[after]["attempt"]}
    yield Measurement("misstated_resumptions", len(told ^ seen), "resumptions", n=len(rows))
