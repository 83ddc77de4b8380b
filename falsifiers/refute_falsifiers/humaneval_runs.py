"""Did the very run that judges the student judge rightly, and are its answers the student's?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Rows = list[dict[str, Any]]
_RUNS = ("humaneval_student", "humaneval_init")


def _passed(row: dict[str, Any]) -> bool:
    return row["passed"] is True and row["outcome"] == "passed"


# ------------------------------------------------------------------------------------------------ canaries


# How a row does not pass that should: it fails, or flag and outcome contradict each other.
_FAILED = {"passed": False, "outcome": "failed"}
_FLAG_ONLY = {"passed": True, "outcome": "failed"}
_OUTCOME_ONLY = {"passed": False, "outcome": "passed"}


def _canaries(
    bench: Bench,
    *,
    run: str = "humaneval_student",
    failed: Mapping[str, Any] = _FAILED,
    kinds: tuple[str, ...] = ("right", "wrong"),
    **wrong: int,
) -> None:
    """Canaries of both runs, judged as the bars want it, but for the measurements in `wrong`, in one `run`.

    `failed`: what is written of right answers that do not pass.
    """
    found = bench.values({"right_failed": 0, "wrong_passed": 0}, wrong, low=0, whole=True)
    passed = {"passed": True, "outcome": "passed"}
    for each in _RUNS:
        off = found if each == run else dict.fromkeys(found, 0)
        rows = [
            {"task_id": f"HumanEval/{n}#{kind}", **verdict}
            for kind in kinds
            for n in range(max(8, *found.values()))
            for verdict in [
                (failed if n < off["right_failed"] else passed)
                if kind == "right"
                else (passed if n < off["wrong_passed"] else _FAILED)
            ]
        ]
        bench.put(each, "canaries.jsonl", rows)


def canaries_judged_rightly(bench: Bench) -> None:
    """In both runs the right ones pass and the wrong ones fail."""
    _canaries(bench)


def everything_passes_in_this_run(bench: Bench) -> None:
    """The scorer is calibrated, and lets everything pass where the student is judged."""
    _canaries(bench, wrong_passed=8)


def one_wrong_answer_passes(bench: Bench) -> None:
    """One of the wrong ones is let through."""
    _canaries(bench, wrong_passed=1)


def one_right_answer_fails(bench: Bench) -> None:
    """One of the right ones is marked wrong."""
    _canaries(bench, right_failed=1)


def the_init_is_held_down(bench: Bench) -> None:
    """Right answers fail where the init is judged, so that the student looks better."""
    _canaries(bench, run="humaneval_init", right_failed=8)


def one_right_answer_that_half_passes(bench: Bench) -> None:
    """The flag says so, the outcome does not."""
    _canaries(bench, failed=_FLAG_ONLY, right_failed=1)


def one_right_answer_passes_unflagged(bench: Bench) -> None:
    """The outcome says so, the flag does not."""
    _canaries(bench, failed=_OUTCOME_ONLY, right_failed=1)


def no_wrong_answer_was_judged(bench: Bench) -> None:
    """Where none could pass, none passed."""
    _canaries(bench, kinds=("right",))


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


@dataclass(frozen=True, slots=True)
class _Replay:
    """So many answers, of which so many differ from what was recorded."""

    answers: int
    differing: int

    def measured(self) -> Iterator[Measurement]:
        """What it comes to."""
        yield Measurement("differing_answers", 100 * self.differing / self.answers, "%", self.answers)


def _replayed(bench: Bench, other: int = 0, *, failing: str = "") -> None:
    """Answers given again, `other` of eight differing, or as many of more as the bar wants; verdicts likewise."""
    bar = bench.bar("differing_verdicts")
    find, preferred = (bar.failing, 1) if failing == "differing_verdicts" else (bar.holding, 0)
    turned = int(find(preferred, low=0, whole=True))
    least = max(8, turned)
    others = (_Replay(n, differing) for n in (least, max(1000, turned)) for differing in range(n + 1))
    failed = ["differing_answers"] if failing == "differing_answers" else []
    chosen = bench.choose([_Replay(least, other), *others], _Replay.measured, failing=failed)
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "completion": "\n    return 1",
            "recorded": "\n    return 2" if n < chosen.differing else "\n    return 1",
            "passed": n % 2 == 0,
            "recorded_passed": (n % 2 == 0) is (n >= turned),
        }
        for n in range(chosen.answers)
    ]
    bench.put("humaneval_replay", "replay.jsonl", rows)


def answers_that_come_again(bench: Bench) -> None:
    """The released model says the same again, and the same verdicts fall."""
    _replayed(bench)


def answers_of_somebody_else(bench: Bench) -> None:
    """None of the recorded answers is the released model's: reference solutions, a better model, another sampler."""
    _replayed(bench, 8, failing="differing_answers")


def one_near_tie(bench: Bench) -> None:
    """One of eight differs, as sums in another order may make it."""
    _replayed(bench, 1)


def half_of_the_answers_are_not_its_own(bench: Bench) -> None:
    """Four of eight differ, more than rounding can explain."""
    _replayed(bench, 4, failing="differing_answers")


def a_verdict_turned_round(bench: Bench) -> None:
    """What failed is recorded as a pass, or the other way round."""
    _replayed(bench, failing="differing_verdicts")


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
