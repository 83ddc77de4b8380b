"""What does the student solve that its init, or the release before it, does not, and the other way round?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from refute import (
    Bench,
    Context,
    Evidence,
    Measurement,
    falsifier,
    known_bad,
    known_good,
    known_open,
    known_unusable,
    stats,
)

PROBLEMS = 164
Rows = list[dict[str, Any]]


def _results(passed: Iterable[int], problems: int = PROBLEMS) -> Rows:
    solved = set(passed)
    return [
        {"task_id": f"HumanEval/{n}", "passed": n in solved, "outcome": "passed" if n in solved else "failed"}
        for n in range(problems)
    ]


def _half_passes() -> Rows:
    """Flag and outcome contradict each other: none is a pass."""
    halves: Rows = [{"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"}]
    return [row | halves[n % 2] for n, row in enumerate(_results(()))]


def _require_few(errors: int, n: int, share: float) -> None:
    """Raise ValueError, with both numbers, where more of `n` problems have no verdict than the share allows."""
    # The share as it is written: 0.29 of 100 are 29, and in floats 28.
    if (found := Fraction(errors, n)) > Fraction(str(share)):
        raise ValueError(f"{errors} of {n} have no verdict ({float(found):.2%}), and {share:.2%} may have none")


def _solved(evidence: Evidence, share: bool | float | str, *, error_is: bool) -> tuple[dict[str, bool], int]:
    """Which problems were solved: by refute's verdicts, or by results of `refute eval score`. A pass must say so twice.

    And how many have no verdict: of each the worst for the student is taken, `error_is`. Raises ValueError for more of
    them than the share allows, for no results, and for a problem that has several.
    """
    rows = evidence.rows("results.jsonl")
    if not rows or len({row["task_id"] for row in rows}) != len(rows):
        raise ValueError(f"{evidence.name}/results.jsonl must have one result a problem, found {len(rows)} rows")
    outcomes = [row.get("outcome", row.get("result")) for row in rows]
    errors = outcomes.count("error")
    _require_few(errors, len(rows), float(share))
    solved = {
        row["task_id"]: error_is if outcome == "error" else row["passed"] is True and outcome == "passed"
        for row, outcome in zip(rows, outcomes, strict=True)
    }
    return solved, errors


def _pairs(new: dict[str, bool], old: dict[str, bool]) -> tuple[int, int, int, int]:
    """Problems solved by both, by the new alone, by the old alone, by neither."""
    if new.keys() != old.keys():
        raise ValueError("the two models were not given the same problems")
    table = [(new[task], old[task]) for task in new]
    both, gained, lost, neither = (
        table.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))
    )
    return both, gained, lost, neither


def _lost(bench: Bench, more: int = 0) -> range:
    """The places of as many problems as may have no verdict under the share of this use, and `more`."""
    allowed = int(Fraction(str(bench.parameters["allowed_error_share"])) * PROBLEMS)
    return range(20, 20 + allowed + more)


def _with_errors(rows: Rows, lost: range) -> Rows:
    """Without verdicts at these places; they claim to be passes."""
    return [{**row, "passed": True, "outcome": "error"} if n in lost else row for n, row in enumerate(rows)]


# ------------------------------------------------------------------------------------------------ against its init


def _pair(bench: Bench, student: Iterable[int], init: Iterable[int]) -> None:
    bench.put("humaneval_student", "results.jsonl", _results(student))
    bench.put("humaneval_init", "results.jsonl", _results(init))


def student_solves_more(bench: Bench) -> None:
    """Thirty problems gained, two lost."""
    _pair(bench, range(10, 42), range(12))


def student_solves_less(bench: Bench) -> None:
    """Two problems gained, thirty lost."""
    _pair(bench, range(12), range(10, 42))


def both_solve_much_and_the_init_more(bench: Bench) -> None:
    """A hundred problems in common, twenty that only the init solves."""
    _pair(bench, range(100), range(120))


def both_solve_much_and_the_student_more(bench: Bench) -> None:
    """A hundred problems in common, twenty that only the student solves."""
    _pair(bench, range(120), range(100))


def a_gain_that_may_be_luck(bench: Bench) -> None:
    """Three gained and one lost."""
    _pair(bench, range(13), [*range(10), 50])


def an_init_that_half_passes(bench: Bench) -> None:
    """Rows of the init whose flag and outcome contradict each other count for nothing."""
    _pair(bench, range(30), ())
    bench.put("humaneval_init", "results.jsonl", _half_passes())


def other_problems(bench: Bench) -> None:
    """The student was given the problems that suit it."""
    bench.put("humaneval_student", "results.jsonl", _results(range(30), problems=40))
    bench.put("humaneval_init", "results.jsonl", _results(range(12)))


def no_result_of_the_student(bench: Bench) -> None:
    """Nothing was judged."""
    _pair(bench, (), ())
    bench.put("humaneval_student", "results.jsonl", "")


def one_problem_of_the_student_twice(bench: Bench) -> None:
    """A problem counts double."""
    _pair(bench, (), ())
    bench.put("humaneval_student", "results.jsonl", [*_results(()), _results(())[0]])


def an_init_without_verdicts(bench: Bench) -> None:
    """Six problems lost, and solved is only what the init has no verdict on: nothing gained."""
    _pair(bench, _lost(bench), ())
    bench.put("humaneval_init", "results.jsonl", _with_errors(_results(range(6)), _lost(bench)))


def a_student_without_verdicts(bench: Bench) -> None:
    """Six problems lost, and nothing gained but what has no verdict."""
    _pair(bench, (), range(6))
    bench.put("humaneval_student", "results.jsonl", _with_errors(_results(()), _lost(bench)))


def one_verdict_too_few_of_the_init(bench: Bench) -> None:
    """One problem more without a verdict than the share allows."""
    _pair(bench, range(100), ())
    bench.put("humaneval_init", "results.jsonl", _with_errors(_results(()), _lost(bench, more=1)))


@falsifier(
    "humaneval-gain",
    needs=("humaneval_student", "humaneval_init"),
    measures={"won_share": "%"},
    parameters={"allowed_error_share": 0.0},
    controls=(
        known_good(student_solves_more),
        known_bad(student_solves_less),
        known_good(both_solve_much_and_the_student_more),
        known_bad(both_solve_much_and_the_init_more),
        known_good(an_init_that_half_passes),
        known_open(a_gain_that_may_be_luck),
        known_bad(an_init_without_verdicts),
        known_bad(a_student_without_verdicts),
        known_unusable(one_verdict_too_few_of_the_init, raises=ValueError),
        known_unusable(other_problems, raises=ValueError),
        known_unusable(no_result_of_the_student, raises=ValueError),
        known_unusable(one_problem_of_the_student_twice, raises=ValueError),
    ),
)
def humaneval_gain(context: Context) -> Iterator[Measurement]:
    """Refuted when, of the problems that only one of both solves, the init solves more (exact McNemar).

    An untouched copy of the init differs on no problem and can only be inconclusive. What the student has no verdict on
    counts as unsolved, what the init has none on as solved; more of either than `allowed_error_share` is an error.
    """
    allowed = context.parameters["allowed_error_share"]
    student, student_errors = _solved(context.evidence("humaneval_student"), allowed, error_is=False)
    init, init_errors = _solved(context.evidence("humaneval_init"), allowed, error_is=True)
    both, gained, lost, neither = _pairs(student, init)
    share, interval = stats.mcnemar_share(gained, lost)
    interval = interval.noting_errors(student_errors, init_errors)
    yield Measurement("won_share", share, "%", n=both + gained + lost + neither, interval=interval)


# ------------------------------------------------------------------------------------------------ against the past


def _against_previous(bench: Bench, student: Iterable[int], previous: Iterable[int]) -> None:
    solved = set(previous)
    bench.put("humaneval_student", "results.jsonl", _results(student))
    rows = [
        {"task_id": f"HumanEval/{n}", "passed": n in solved, "result": "passed" if n in solved else "failed: x"}
        for n in range(PROBLEMS)
    ]
    bench.put("humaneval_previous", "results.jsonl", rows)


def as_good_as_before(bench: Bench) -> None:
    """The same problems as the previous release, and forty more."""
    _against_previous(bench, range(80), range(40))


def worse_than_before(bench: Bench) -> None:
    """Forty of the problems that the previous release solved are lost."""
    _against_previous(bench, range(40), range(80))


def a_past_that_half_passes(bench: Bench) -> None:
    """Rows of the past whose flag and outcome contradict each other count for nothing."""
    _against_previous(bench, range(40), ())
    bench.put("humaneval_previous", "results.jsonl", _half_passes())


def six_lost(bench: Bench) -> None:
    """Six problems fewer, 3.7 % of them: the interval reaches over the bar."""
    _against_previous(bench, range(40), range(46))


def other_problems_before(bench: Bench) -> None:
    """The release before was given more problems."""
    _against_previous(bench, (), range(20))
    bench.put("humaneval_student", "results.jsonl", _results(range(30), problems=40))


def no_result_before(bench: Bench) -> None:
    """Nothing was judged."""
    _against_previous(bench, (), ())
    bench.put("humaneval_previous", "results.jsonl", "")


def one_problem_twice_before(bench: Bench) -> None:
    """A problem counts double."""
    _against_previous(bench, (), ())
    bench.put("humaneval_previous", "results.jsonl", [*_results(()), _results(())[0]])


def one_verdict_too_few_before(bench: Bench) -> None:
    """One problem more without a verdict than the share allows."""
    _against_previous(bench, range(80), ())
    bench.put("humaneval_previous", "results.jsonl", _with_errors(_results(()), _lost(bench, more=1)))


@falsifier(
    "humaneval-against-previous",
    needs=("humaneval_student", "humaneval_previous"),
    measures={"difference": "%"},
    parameters={"allowed_error_share": 0.0},
    controls=(
        known_good(as_good_as_before),
        known_bad(worse_than_before),
        known_good(a_past_that_half_passes),
        known_open(six_lost),
        known_unusable(one_verdict_too_few_before, raises=ValueError),
        known_unusable(other_problems_before, raises=ValueError),
        known_unusable(no_result_before, raises=ValueError),
        known_unusable(one_problem_twice_before, raises=ValueError),
    ),
)
def against_previous(context: Context) -> Iterator[Measurement]:
    """Refuted when the student solves less than the release before it, on the same problems.

    `humaneval_previous` is evidence of one's own: a results.jsonl of an earlier run, or of `refute eval score`.
    Problems without a verdict count as in `humaneval-gain`.
    """
    allowed = context.parameters["allowed_error_share"]
    student, student_errors = _solved(context.evidence("humaneval_student"), allowed, error_is=False)
    previous, previous_errors = _solved(context.evidence("humaneval_previous"), allowed, error_is=True)
    both, gained, lost, neither = _pairs(student, previous)
    interval = stats.paired_difference(both, gained, lost, neither).noting_errors(student_errors, previous_errors)
    yield Measurement("difference", 100 * (gained - lost) / len(student), "%", n=len(student), interval=interval)
