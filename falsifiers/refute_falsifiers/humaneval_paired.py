"""What does the student solve that its init, its teacher or the release before it does not, and the other way round?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from refute import (
    Bench,
    Context,
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
Measure = Callable[[Context], Iterator[Measurement]]


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


@dataclass(frozen=True, slots=True)
class _Table:
    """Of all problems, how many both solve, the new one alone, the old one alone; and how many have no verdict.

    An error of the student counts as unsolved; of the init or the release before, as solved.
    """

    both: int
    gained: int
    lost: int
    errors: int = 0
    of_student: bool = True

    def won_share(self) -> Iterator[Measurement]:
        """What `humaneval-gain` makes of it."""
        share, interval = stats.mcnemar_share(self.gained, self.lost)
        yield Measurement("won_share", share, "%", PROBLEMS, interval)

    def difference(self) -> Iterator[Measurement]:
        """What `humaneval-against-...` makes of it."""
        neither = PROBLEMS - self.both - self.gained - self.lost
        interval = stats.paired_difference(self.both, self.gained, self.lost, neither)
        yield Measurement("difference", 100 * (self.gained - self.lost) / PROBLEMS, "%", PROBLEMS, interval)

    def student(self) -> Rows:
        """Its results: what both solve, what it gains, what it loses; then what has no verdict, then the rest."""
        solved = self.both + self.gained
        rows = _results(range(solved))
        # The student claims to pass what the other one has no verdict on, and the other way round.
        place = solved + self.lost
        if self.of_student:
            return _with_errors(rows, range(place, place + self.errors))
        return _results([*range(solved), *range(place, place + self.errors)])

    def other(self) -> Rows:
        """The results of the other model."""
        place = self.both + self.gained + self.lost
        rows = _results([*range(self.both), *range(self.both + self.gained, place)])
        return rows if self.of_student else _with_errors(rows, range(place, place + self.errors))


def _allowed(bench: Bench) -> int:
    """How many problems may have no verdict by the share of this use. Raises where all of them may."""
    share = Fraction(str(bench.parameters["allowed_error_share"]))
    if share >= 1:
        raise RefuteError(
            f"allowed_error_share: {float(share):g} lets every problem go without a verdict: nothing would be refused",
            hint="state a share below 1",
        )
    return int(share * PROBLEMS)


def _tables(preferred: _Table) -> Iterator[_Table]:
    """`preferred`, then others with its errors or, where that decides nothing, with fewer."""
    yield preferred
    for errors in dict.fromkeys([preferred.errors, preferred.errors // 2, preferred.errors // 8, 0]):
        for both in dict.fromkeys([preferred.both, 0]):
            left = PROBLEMS - errors - both
            if left > 0:
                ends = [(left, 0), (0, left)]
                few = [(gained, lost) for gained in range(6) for lost in range(6) if gained + lost <= left]
                mixed = [(gained, left - gained) for gained in range(0, left + 1, 2)]
                for gained, lost in (*ends, *few, *mixed):
                    yield replace(preferred, both=both, gained=gained, lost=lost, errors=errors)


def _with_errors(rows: Rows, lost: range) -> Rows:
    """Without verdicts at these places; they claim to be passes."""
    return [{**row, "passed": True, "outcome": "error"} if n in lost else row for n, row in enumerate(rows)]


# ------------------------------------------------------------------------------------------------ against its init


def _pair(bench: Bench, student: Rows, init: Rows) -> None:
    bench.put("humaneval_student", "results.jsonl", student)
    bench.put("humaneval_init", "results.jsonl", init)


def _won(bench: Bench, preferred: _Table, *, failing: bool = False, unsure: bool = False) -> _Table:
    """Lays out `preferred`, or another table on the side of the bar that is asked for."""
    named = ["won_share"]
    table = bench.choose(
        _tables(preferred), _Table.won_share, failing=named if failing else [], unsure=named if unsure else []
    )
    _pair(bench, table.student(), table.other())
    return table


def student_solves_more(bench: Bench) -> None:
    """Thirty problems gained, two lost."""
    _won(bench, _Table(2, 30, 2))


def student_solves_less(bench: Bench) -> None:
    """Two problems gained, thirty lost."""
    _won(bench, _Table(2, 2, 30), failing=True)


def both_solve_much_and_the_init_more(bench: Bench) -> None:
    """A hundred problems in common, twenty that only the init solves."""
    _won(bench, _Table(100, 0, 20), failing=True)


def both_solve_much_and_the_student_more(bench: Bench) -> None:
    """A hundred problems in common, twenty that only the student solves."""
    _won(bench, _Table(100, 20, 0))


def a_gain_that_may_be_luck(bench: Bench) -> None:
    """Three gained and one lost."""
    _won(bench, _Table(10, 3, 1), unsure=True)


def an_init_that_half_passes(bench: Bench) -> None:
    """Rows of the init whose flag and outcome contradict each other count for nothing."""
    table = _won(bench, _Table(0, 30, 0))
    solved = [row["passed"] for row in table.other()]
    halves = [own if passed else half for own, half, passed in zip(table.other(), _half_passes(), solved, strict=True)]
    bench.put("humaneval_init", "results.jsonl", halves)


def other_problems(bench: Bench) -> None:
    """The student was given the problems that suit it."""
    _pair(bench, _results(range(30), problems=40), _results(range(12)))


def no_result_of_the_student(bench: Bench) -> None:
    """Nothing was judged."""
    _pair(bench, [], _results(()))


def one_problem_of_the_student_twice(bench: Bench) -> None:
    """A problem counts double."""
    _pair(bench, [*_results(()), _results(())[0]], _results(()))


def an_init_without_verdicts(bench: Bench) -> None:
    """Six problems lost, and solved is only what the init has no verdict on: nothing gained."""
    _won(bench, _Table(0, 0, 6, min(_allowed(bench), PROBLEMS - 6), of_student=False), failing=True)


def a_student_without_verdicts(bench: Bench) -> None:
    """Six problems lost, and nothing gained but what has no verdict."""
    _won(bench, _Table(0, 0, 6, min(_allowed(bench), PROBLEMS - 6)), failing=True)


def one_verdict_too_few_of_the_init(bench: Bench) -> None:
    """One problem more without a verdict than the share allows."""
    _pair(bench, _results(range(100)), _with_errors(_results(()), range(_allowed(bench) + 1)))


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
    _, gained, lost, _ = _pairs(student, init)
    share, interval = stats.mcnemar_share(gained, lost)
    yield Measurement("won_share", share, "%", len(student), interval.noting_errors(student_errors, init_errors))


# ------------------------------------------------------------------------------------------------ against others


# Says how a model was asked, in a release's run and in one of `refute eval humaneval`.
_SUMMARIES = ("summary.json", "generation.json")
_ALIKE = {"protocol": "chat_primed", "system_prompt": None}


def _asked(evidence: Evidence) -> dict[str, Any]:
    """By which protocol and system prompt. Raises ValueError where nothing says so."""
    for file in _SUMMARIES:
        if file in evidence.files and _ALIKE.keys() <= (found := evidence.json(file)).keys():
            return {name: found[name] for name in _ALIKE}
    raise ValueError(
        f"{evidence.name} does not say by which protocol its model was asked: name the folder of that run, "
        f"which has {' or '.join(_SUMMARIES)} beside its results.jsonl"
    )


def _scored(rows: Rows) -> Rows:
    """As `refute eval score` writes them: a failure is a `result` with its reason."""
    return [
        {"task_id": row["task_id"], "passed": row["passed"], "result": "passed" if row["passed"] else "failed: x"}
        for row in rows
    ]


def _against(bench: Bench, preferred: _Table, **sides: list[str]) -> tuple[Rows, Rows]:
    """Results of student and other: `preferred`, or another table on the sides of the bar that are asked for."""
    table = bench.choose(_tables(preferred), _Table.difference, **sides)
    return table.student(), table.other()


def as_good_as_the_other(bench: Bench) -> None:
    """The same problems as the other model, and forty more."""
    student, other = _against(bench, _Table(40, 40, 0))
    _lay_both(bench, student, _scored(other))


def worse_than_the_other(bench: Bench) -> None:
    """Forty of the problems that the other model solved are lost."""
    student, other = _against(bench, _Table(40, 0, 40), failing=["difference"])
    _lay_both(bench, student, _scored(other))


def another_that_half_passes(bench: Bench) -> None:
    """Rows of the other model whose flag and outcome contradict each other count for nothing."""
    student, other = _against(bench, _Table(0, 40, 0))
    halves = [row if row["passed"] else half for row, half in zip(other, _half_passes(), strict=True)]
    _lay_both(bench, student, halves)


def six_lost(bench: Bench) -> None:
    """Six problems fewer, 3.7 % of them, or another difference whose interval reaches over the bar."""
    student, other = _against(bench, _Table(40, 0, 6), unsure=["difference"])
    _lay_both(bench, student, _scored(other))


def _lay_both(bench: Bench, student: Rows, other: Rows, asked: dict[str, Any] = _ALIKE) -> None:
    """Results of both, the other one `asked` in this way."""
    for model, rows, how in (("student", student, _ALIKE), (bench.parameters["other"], other, asked)):
        bench.put(f"humaneval_{model}", "results.jsonl", rows)
        bench.put(f"humaneval_{model}", "summary.json", how)


def other_problems_of_the_other(bench: Bench) -> None:
    """The other model was given more problems."""
    _lay_both(bench, _results(range(30), problems=40), _scored(_results(range(20))))


def no_result_of_both(bench: Bench) -> None:
    """Nothing was judged."""
    _lay_both(bench, _results(()), [])


def one_problem_twice_of_the_other(bench: Bench) -> None:
    """A problem counts double."""
    _lay_both(bench, _results(()), [*_results(()), _results(())[0]])


def one_verdict_too_few_of_the_other(bench: Bench) -> None:
    """One problem more without a verdict than the share allows."""
    _lay_both(bench, _results(range(80)), _with_errors(_results(()), range(_allowed(bench) + 1)))


def another_protocol_of_the_other(bench: Bench) -> None:
    """The other model was asked by the bare prompt."""
    _lay_both(bench, _results(range(80)), _scored(_results(range(20))), {**_ALIKE, "protocol": "completion"})


def no_word_of_the_protocol(bench: Bench) -> None:
    """The other model may have been asked in any way."""
    _lay_both(bench, _results(range(80)), _scored(_results(range(20))), {})


def _of_both_others(measure: Measure) -> Measure:
    """The same falsifier against the teacher, and against evidence of one's own."""
    for other in ("teacher", "previous"):
        falsifier(
            f"humaneval-against-{other}",
            needs=("humaneval_student", f"humaneval_{other}"),
            measures={"difference": "%"},
            parameters={"allowed_error_share": 0.0, "other": other},
            controls=(
                known_good(as_good_as_the_other),
                known_bad(worse_than_the_other),
                known_good(another_that_half_passes),
                known_open(six_lost),
                known_unusable(one_verdict_too_few_of_the_other, raises=ValueError),
                known_unusable(other_problems_of_the_other, raises=ValueError),
                known_unusable(no_result_of_both, raises=ValueError),
                known_unusable(one_problem_twice_of_the_other, raises=ValueError),
                known_unusable(another_protocol_of_the_other, raises=ValueError),
                known_unusable(no_word_of_the_protocol, raises=ValueError),
            ),
        )(measure)
    return measure


@_of_both_others
def against_another(context: Context) -> Iterator[Measurement]:
    """Refuted when the student solves less than its teacher, or than the release before it, on the same problems.

    `humaneval_previous` is evidence of one's own: the folder of an earlier run, or of `refute eval humaneval`, whose
    model was asked as the student was. Problems without a verdict count as in `humaneval-gain`.
    """
    allowed = context.parameters["allowed_error_share"]
    own, other = (context.evidence(f"humaneval_{model}") for model in ("student", context.parameters["other"]))
    if (asked := _asked(own)) != (then := _asked(other)):
        raise ValueError(f"the student was asked by {asked}, {other.name} by {then}: they are not comparable")
    student, student_errors = _solved(own, allowed, error_is=False)
    theirs, other_errors = _solved(other, allowed, error_is=True)
    both, gained, lost, neither = _pairs(student, theirs)
    interval = stats.paired_difference(both, gained, lost, neither).noting_errors(student_errors, other_errors)
    yield Measurement("difference", 100 * (gained - lost) / len(student), "%", n=len(student), interval=interval)
