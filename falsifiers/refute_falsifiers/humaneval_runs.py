"""Did the very run that judges the student judge rightly, and are its answers the student's?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Rows = list[dict[str, Any]]
_RUNS = ("humaneval_student", "humaneval_init")


def _passed(row: dict[str, Any]) -> bool:
    return row["passed"] is True and row["outcome"] == "passed"


# ------------------------------------------------------------------------------------------------ canaries


def _canaries(
    bench: Bench, run: str, *, right: int = 8, wrong: int = 0, kinds: tuple[str, ...] = ("right", "wrong")
) -> None:
    passing = {"right": right, "wrong": wrong}
    rows = [
        {"task_id": f"HumanEval/{n}#{kind}", "passed": good, "outcome": "passed" if good else "failed"}
        for kind in kinds
        for n in range(8)
        for good in [n < passing[kind]]
    ]
    bench.put(run, "canaries.jsonl", rows)


def _both(bench: Bench, **student: Any) -> None:
    _canaries(bench, "humaneval_student", **student)
    _canaries(bench, "humaneval_init")


def canaries_judged_rightly(bench: Bench) -> None:
    """In both runs the right ones pass and the wrong ones fail."""
    _both(bench)


def everything_passes_in_this_run(bench: Bench) -> None:
    """The scorer is calibrated, and lets everything pass where the student is judged."""
    _both(bench, wrong=8)


def one_wrong_answer_passes(bench: Bench) -> None:
    """One of the wrong ones is let through."""
    _both(bench, wrong=1)


def one_right_answer_fails(bench: Bench) -> None:
    """One of the right ones is marked wrong."""
    _both(bench, right=7)


def the_init_is_held_down(bench: Bench) -> None:
    """Right answers fail where the init is judged, so that the student looks better."""
    _canaries(bench, "humaneval_student")
    _canaries(bench, "humaneval_init", right=0)


def one_right_answer_that_half_passes(bench: Bench) -> None:
    """The flag says so, the outcome does not."""
    _both(bench)
    rows = [
        {"task_id": "HumanEval/0#right", "passed": True, "outcome": "failed"},
        {"task_id": "HumanEval/0#wrong", "passed": False, "outcome": "failed"},
    ]
    bench.put("humaneval_student", "canaries.jsonl", rows)


def one_right_answer_passes_unflagged(bench: Bench) -> None:
    """The outcome says so, the flag does not."""
    _both(bench)
    rows = [
        {"task_id": "HumanEval/0#right", "passed": False, "outcome": "passed"},
        {"task_id": "HumanEval/0#wrong", "passed": False, "outcome": "failed"},
    ]
    bench.put("humaneval_student", "canaries.jsonl", rows)


def no_wrong_answer_was_judged(bench: Bench) -> None:
    """Where none could pass, none passed."""
    _both(bench, kinds=("right",))


@falsifier(
    "scorer-canaries",
    needs=_RUNS,
    measures={"right_failed": "answers", "wrong_passed": "answers"},
    controls=(
        known_good(canaries_judged_rightly),
        known_bad(everything_passes_in_this_run),
        known_bad(one_wrong_answer_passes),
        known_bad(one_right_answer_fails),
        known_bad(the_init_is_held_down),
        known_bad(one_right_answer_that_half_passes),
        known_bad(one_right_answer_passes_unflagged),
        known_unusable(no_wrong_answer_was_judged, raises=ValueError),
    ),
)
def scorer_canaries(context: Context) -> Iterator[Measurement]:
    """Refuted when an answer known to be right fails, or a wrong one passes, in the runs that are compared."""
    right, wrong = _known(context, "#right"), _known(context, "#wrong")
    yield Measurement("right_failed", sum(not _passed(row) for row in right), "answers", n=len(right))
    yield Measurement("wrong_passed", sum(row["passed"] is not False for row in wrong), "answers", n=len(wrong))


def _known(context: Context, suffix: str) -> Rows:
    """The canaries of one kind of both runs. Raises ValueError for a run that has none."""
    found: Rows = []
    for run in _RUNS:
        own = [row for row in context.evidence(run).rows("canaries.jsonl") if row["task_id"].endswith(suffix)]
        if not own:
            raise ValueError(f"{run} judged no canary of kind {suffix!r}")
        found += own
    return found


# ------------------------------------------------------------------------------------------------ answers again


def _replayed(bench: Bench, *, other: int = 0, lied: int = 0) -> None:
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "completion": "\n    return 1",
            "recorded": "\n    return 2" if n < other else "\n    return 1",
            "passed": n % 2 == 0,
            "recorded_passed": True if n < 2 * lied else n % 2 == 0,
        }
        for n in range(8)
    ]
    bench.put("humaneval_replay", "replay.jsonl", rows)


def answers_that_come_again(bench: Bench) -> None:
    """The released model says the same again, and the same verdicts fall."""
    _replayed(bench)


def answers_of_somebody_else(bench: Bench) -> None:
    """None of the recorded answers is the released model's: reference solutions, a better model, another sampler."""
    _replayed(bench, other=8)


def one_near_tie(bench: Bench) -> None:
    """One of eight differs, as sums in another order may make it."""
    _replayed(bench, other=1)


def half_of_the_answers_are_not_its_own(bench: Bench) -> None:
    """Four of eight differ, more than rounding can explain."""
    _replayed(bench, other=4)


def a_verdict_turned_round(bench: Bench) -> None:
    """A failing answer is recorded as a pass."""
    _replayed(bench, lied=1)


@falsifier(
    "answers-replayed",
    needs=("humaneval_replay",),
    measures={"differing_answers": "%", "differing_verdicts": "problems"},
    controls=(
        known_good(answers_that_come_again),
        known_good(one_near_tie),
        known_bad(answers_of_somebody_else),
        known_bad(half_of_the_answers_are_not_its_own),
        known_bad(a_verdict_turned_round),
    ),
)
def answers_replayed(context: Context) -> Iterator[Measurement]:
    """Refuted when the released model answers otherwise than recorded, or a recorded answer is judged otherwise."""
    rows = context.evidence("humaneval_replay").rows("replay.jsonl")
    other = sum(row["completion"] != row["recorded"] for row in rows)
    yield Measurement("differing_answers", 100 * other / len(rows), "%", n=len(rows))
    turned = sum(row["passed"] is not row["recorded_passed"] for row in rows)
    yield Measurement("differing_verdicts", turned, "problems", n=len(rows))
