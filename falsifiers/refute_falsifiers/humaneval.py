"""What does the student solve, and was it asked and judged everywhere?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refute import (
    Bench,
    Context,
    Control,
    Evidence,
    Measurement,
    RefuteError,
    falsifier,
    known_bad,
    known_good,
    known_open,
    known_unusable,
    stats,
)

PROBLEMS = 164
Rows = list[dict[str, Any]]
Controls = tuple[Control, ...]


def _results(passed: Iterable[int], problems: int = PROBLEMS) -> Rows:
    solved = set(passed)
    return [
        {"task_id": f"HumanEval/{n}", "passed": n in solved, "outcome": "passed" if n in solved else "failed"}
        for n in range(problems)
    ]


def _passed(row: dict[str, Any]) -> bool:
    """Whether a result is positively a pass: flag and outcome must agree."""
    return row["passed"] is True and row["outcome"] == "passed"


def _passes(rows: Rows) -> int:
    return sum(_passed(row) for row in rows)


def _unique(evidence: Evidence) -> Rows:
    rows = evidence.rows("results.jsonl")
    if not rows or len({row["task_id"] for row in rows}) != len(rows):
        raise ValueError(f"{evidence.name}/results.jsonl must have one result a problem, found {len(rows)} rows")
    return rows


def _require_few(errors: int, n: int, share: float) -> None:
    """Raise ValueError, with both numbers, where more of `n` problems have no verdict than the share allows."""
    # The share as it is written: 0.29 of 100 are 29, and in floats 28.
    if (found := Fraction(errors, n)) > Fraction(str(share)):
        raise ValueError(f"{errors} of {n} have no verdict ({float(found):.2%}), and {share:.2%} may have none")


def _verdicts(evidence: Evidence, allowed_error_share: float) -> tuple[Rows, int]:
    """One result a problem, and how many of them are errors. Raises ValueError for more than the share allows."""
    rows = _unique(evidence)
    errors = sum(row["outcome"] == "error" for row in rows)
    _require_few(errors, len(rows), allowed_error_share)
    return rows, errors


# Neither is a pass: flag and outcome must agree.
_HALVES: Rows = [{"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"}]


def _but_half(rows: Rows) -> Rows:
    """The same, where what does not pass does so by half."""
    return [row if _passed(row) else row | _HALVES[n % 2] for n, row in enumerate(rows)]


def _unusable(need: str) -> Controls:
    """A run without a result, and one that counts a problem twice."""

    def nothing(bench: Bench) -> None:
        bench.put(need, "results.jsonl", "")

    def twice(bench: Bench) -> None:
        bench.put(need, "results.jsonl", [*_results(range(20)), _results(range(20))[0]])

    return (
        known_unusable(nothing, name=f"no result in {need}", raises=ValueError),
        known_unusable(twice, name=f"one problem twice in {need}", raises=ValueError),
    )


@dataclass(frozen=True, slots=True)
class _Score:
    """So many of all problems solved, and so many without a verdict."""

    passed: int
    errors: int = 0
    problems: int = PROBLEMS

    def measured(self) -> Iterator[Measurement]:
        """What it comes to."""
        interval = stats.wilson_interval(self.passed, self.problems).noting_errors(self.errors)
        yield Measurement("pass_at_1", 100 * self.passed / self.problems, "%", self.problems, interval)


def _allowed(bench: Bench) -> int:
    """How many problems may have no verdict by the share of this use. Raises where all of them may."""
    share = Fraction(str(bench.parameters["allowed_error_share"]))
    if share >= 1:
        raise RefuteError(
            f"allowed_error_share: {float(share):g} lets every problem go without a verdict: nothing would be refused",
            hint="state a share below 1",
        )
    return int(share * PROBLEMS)


def _scored(bench: Bench, preferred: _Score, *, failing: bool = False, unsure: bool = False) -> _Score:
    """`preferred`, or another score with its errors or fewer, on the side of the bar that is asked for."""
    named = ["pass_at_1"]
    others = (
        _Score(passed, errors)
        for errors in range(preferred.errors, -1, -1)
        for passed in (PROBLEMS - errors, 0, *(range(1, PROBLEMS) if errors == 0 else ()))
    )
    return bench.choose(
        [preferred, *others], _Score.measured, failing=named if failing else [], unsure=named if unsure else []
    )


def _put_score(bench: Bench, score: _Score, *, half: bool = False) -> None:
    """Errors come first and claim to be passes; what is not solved fails, or passes by half."""
    rows = _results(range(score.errors, score.errors + score.passed))
    rows = _but_half(rows) if half else rows
    lost = [{**row, "passed": True, "outcome": "error"} for row in rows[: score.errors]]
    bench.put("humaneval_student", "results.jsonl", [*lost, *rows[score.errors :]])


def _put_real(bench: Bench, *, failing: bool) -> None:
    """What this very scorer said of canonical solutions or, where the bar is about few passes, of empty answers."""
    evidence = bench.real["humaneval_calibration"]
    problems = len(evidence.rows("results_canonical.jsonl"))
    all_pass, none_pass = _Score(problems, problems=problems), _Score(0, problems=problems)
    order = [none_pass, all_pass] if failing else [all_pass, none_pass]
    chosen = bench.choose(order, _Score.measured, failing=["pass_at_1"] if failing else [])
    kind = "canonical" if chosen is all_pass else "empty"
    bench.put("humaneval_student", "results.jsonl", evidence.rows(f"results_{kind}.jsonl"))


def canonical_solutions(bench: Bench) -> None:
    """What this very scorer said about the canonical solutions: all of them pass."""
    _put_real(bench, failing=False)


def empty_answers(bench: Bench) -> None:
    """What this very scorer said about answers without a body: none of them passes."""
    _put_real(bench, failing=True)


def many_solved(bench: Bench) -> None:
    """Half of the problems, or as many as the bar wants."""
    _put_score(bench, _scored(bench, _Score(82)))


def nothing_solved_by_the_student(bench: Bench) -> None:
    """Not one problem."""
    _put_score(bench, _scored(bench, _Score(0), failing=True))


def solved_by_half_only(bench: Bench) -> None:
    """Rows whose flag and outcome contradict each other: nothing is solved by them."""
    _put_score(bench, _scored(bench, _Score(0), failing=True), half=True)


def too_close_to_tell(bench: Bench) -> None:
    """33 of 164, whose interval reaches from 14.7 to 26.9 %, or another score that straddles the bar."""
    _put_score(bench, _scored(bench, _Score(33), unsure=True))


def errors_within_the_share(bench: Bench) -> None:
    """All but the problems that may have no verdict are solved."""
    allowed = _allowed(bench)
    _put_score(bench, _scored(bench, _Score(PROBLEMS - allowed, allowed)))


def errors_that_claim_to_be_passes(bench: Bench) -> None:
    """Nothing is solved but what has no verdict."""
    _put_score(bench, _scored(bench, _Score(0, _allowed(bench)), failing=True))


def one_error_more_than_the_share(bench: Bench) -> None:
    """Everything else is solved, and it is no measurement."""
    errors = _allowed(bench) + 1
    _put_score(bench, _Score(PROBLEMS - errors, errors))


@falsifier(
    "humaneval-pass-at-1",
    needs=("humaneval_student", "humaneval_calibration"),
    measures={"pass_at_1": "%"},
    parameters={"allowed_error_share": 0.0},
    controls=(
        known_good(canonical_solutions),
        known_bad(empty_answers),
        known_good(many_solved),
        known_bad(nothing_solved_by_the_student),
        known_bad(solved_by_half_only),
        known_open(too_close_to_tell),
        known_good(errors_within_the_share),
        known_bad(errors_that_claim_to_be_passes),
        known_unusable(one_error_more_than_the_share, raises=ValueError),
        *_unusable("humaneval_student"),
    ),
)
def pass_at_1(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's share of solved problems lies below the bar, Wilson interval included.

    A problem without an answer or a verdict is not solved, and more of them than `allowed_error_share` are an error.
    """
    share = float(context.parameters["allowed_error_share"])
    rows, errors = _verdicts(context.evidence("humaneval_student"), share)
    passed = _passes(rows)
    interval = stats.wilson_interval(passed, len(rows)).noting_errors(errors)
    yield Measurement("pass_at_1", 100 * passed / len(rows), "%", n=len(rows), interval=interval)


def _judged(bench: Bench, **wrong: int) -> None:
    """As many results as there are problems, some without a verdict where the bar is to fail by that."""
    counted, lost = bench.bar("problems"), bench.bar("errors")
    find = counted.failing if "problems" in wrong else counted.holding
    problems = int(find(int(wrong.get("problems", bench.parameters["problems"])), low=1, whole=True))
    find = lost.failing if "errors" in wrong else lost.holding
    errors = int(find(wrong.get("errors", 0), low=0, high=problems, whole=True))
    solved = range(errors, errors + (problems - errors) // 8)
    rows = _results(solved, problems)
    unjudged = [{**row, "outcome": "error"} for row in rows[:errors]]
    bench.put("humaneval_student", "results.jsonl", [*unjudged, *rows[errors:]])


def all_problems_judged(bench: Bench) -> None:
    """A result for every problem, none of them an error."""
    _judged(bench)


def a_problem_left_out(bench: Bench) -> None:
    """One problem has no result."""
    _judged(bench, problems=int(bench.parameters["problems"]) - 1)


def errors_counted_as_failures(bench: Bench) -> None:
    """Problems that could not be judged, mixed with ones that were."""
    _judged(bench, errors=int(bench.parameters["problems"]) // 2)


@falsifier(
    "humaneval-complete",
    needs=("humaneval_student",),
    measures={"problems": "problems", "errors": "problems"},
    parameters={"problems": PROBLEMS},
    controls=(
        known_good(all_problems_judged),
        known_bad(a_problem_left_out),
        known_bad(errors_counted_as_failures),
        *_unusable("humaneval_student"),
    ),
)
def humaneval_complete(context: Context) -> Iterator[Measurement]:
    """Refuted when a problem has no result, or its result is an error of the harness.

    `problems`, of the set in use, sizes the controls; the number that must be there is the bar's to say.
    """
    rows = _unique(context.evidence("humaneval_student"))
    yield Measurement("problems", len(rows), "problems", n=len(rows))
    yield Measurement("errors", sum(row["outcome"] == "error" for row in rows), "problems", n=len(rows))
