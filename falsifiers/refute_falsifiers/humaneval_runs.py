"""Did the very runs that are compared judge rightly?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable
from refute_falsifiers._answers import by_answer

Rows = list[dict[str, Any]]
Measure = Callable[[Context], Iterable[Measurement]]
# Of each kind and run, or as many as there are answers.
_CANARIES = 8
_MODELS = ("student", "init", "teacher", "null")


def _runs(parameters: Mapping[str, Any]) -> list[str]:
    return [f"humaneval_{model}" for model in str(parameters["models"]).split()]


def _passed(row: dict[str, Any]) -> bool:
    return row["passed"] is True and row["outcome"] == "passed"


# How a row does not pass that should: it fails, or flag and outcome contradict each other.
_FAILED = {"passed": False, "outcome": "failed"}
_FLAG_ONLY = {"passed": True, "outcome": "failed"}
_OUTCOME_ONLY = {"passed": False, "outcome": "passed"}


def _canaries(
    bench: Bench,
    *,
    run: str = "",
    failed: Mapping[str, Any] = _FAILED,
    kinds: tuple[str, ...] = ("right", "wrong"),
    left: int = 0,
    **wrong: int,
) -> None:
    """Canaries of all runs, judged as the bars want it, but for the measurements in `wrong`, in one `run`: the first.

    `failed`: what is written of right answers that do not pass; `left`: how many there are, where it is not enough.
    """
    found = bench.values({"right_failed": 0, "wrong_passed": 0}, wrong, low=0, whole=True)
    passed, runs = {"passed": True, "outcome": "passed"}, _runs(bench.parameters)
    run = run or runs[0]
    for each in runs:
        off = found if each == run else dict.fromkeys(found, 0)
        rows = [
            {"task_id": f"HumanEval/{n}#{kind}", **verdict}
            for kind in (kinds if each == run else ("right", "wrong"))
            for n in range(left if left and each == run else max(_CANARIES, *found.values()))
            for verdict in [
                (failed if n < off["right_failed"] else passed)
                if kind == "right"
                else (passed if n < off["wrong_passed"] else _FAILED)
            ]
        ]
        bench.put(each, "canaries.jsonl", rows)
        bench.put(each, "samples.jsonl", [{"task_id": f"HumanEval/{n}"} for n in range(max(9, *found.values()))])


def canaries_judged_rightly(bench: Bench) -> None:
    """In every run the right ones pass and the wrong ones fail."""
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


def everything_passes_for_the_teacher(bench: Bench) -> None:
    """Wrong answers pass where the teacher is judged, so that its protocol looks sound."""
    _canaries(bench, run="humaneval_teacher", wrong_passed=8)


def nothing_passes_for_random_weights(bench: Bench) -> None:
    """Right answers fail where random weights are judged: whatever they say, they solve nothing."""
    _canaries(bench, run="humaneval_null", right_failed=8)


def one_right_answer_that_half_passes(bench: Bench) -> None:
    """The flag says so, the outcome does not."""
    _canaries(bench, failed=_FLAG_ONLY, right_failed=1)


def one_right_answer_passes_unflagged(bench: Bench) -> None:
    """The outcome says so, the flag does not."""
    _canaries(bench, failed=_OUTCOME_ONLY, right_failed=1)


def no_wrong_answer_was_judged(bench: Bench) -> None:
    """Where none could pass, none passed."""
    _canaries(bench, kinds=("right",))


def all_but_one_canary_left_out(bench: Bench) -> None:
    """What was judged wrongly may be among the others."""
    _canaries(bench, left=1)


_MEASURES = {"right_failed": "answers", "wrong_passed": "answers"}
_CONTROLS = (
    known_good(canaries_judged_rightly),
    known_bad(everything_passes_in_this_run),
    known_bad(one_wrong_answer_passes),
    known_bad(one_right_answer_fails),
    known_bad(one_right_answer_that_half_passes),
    known_bad(one_right_answer_passes_unflagged),
    known_unusable(no_wrong_answer_was_judged, raises=ValueError),
    known_unusable(all_but_one_canary_left_out, raises=ValueError),
)
_COMPARED = (
    known_bad(the_init_is_held_down),
    known_bad(everything_passes_for_the_teacher),
    known_bad(nothing_passes_for_random_weights),
)


def _of_every_model(measure: Measure) -> Measure:
    """The same falsifier once for each model alone, where not all of them are there, and for the student's samples."""
    for model in (*_MODELS, "sampled"):
        falsifier(
            f"{model}-canaries",
            needs=(f"humaneval_{model}",),
            measures=_MEASURES,
            parameters={"models": model},
            controls=_CONTROLS,
        )(measure)
    return measure


@_of_every_model
@falsifier(
    "scorer-canaries",
    needs=tuple(f"humaneval_{model}" for model in _MODELS),
    measures=_MEASURES,
    parameters={"models": " ".join(_MODELS)},
    controls=(*_CONTROLS, *_COMPARED),
)
def scorer_canaries(context: Context) -> Iterator[Measurement]:
    """Refuted when an answer known to be right fails, or a wrong one passes, in the runs that are compared."""
    right, wrong = _known(context, "#right"), _known(context, "#wrong")
    yield Measurement("right_failed", sum(not _passed(row) for row in right), "answers", n=len(right))
    yield Measurement("wrong_passed", sum(row["passed"] is not False for row in wrong), "answers", n=len(wrong))


def _known(context: Context, suffix: str) -> Rows:
    """The canaries of one kind of all runs. Raises ValueError for a run that has too few."""
    found: Rows = []
    for run in _runs(context.parameters):
        evidence = context.evidence(run)
        own = [row for task, row in evidence.rows_by("canaries.jsonl", "task_id").items() if task.endswith(suffix)]
        due = min(_CANARIES, len(by_answer(evidence, "samples.jsonl")))
        if len(own) < due:
            raise ValueError(f"{run} judged {len(own)} canaries of kind {suffix!r}, expected {due}")
        found += own
    return found
