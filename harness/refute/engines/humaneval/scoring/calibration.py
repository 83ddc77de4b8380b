"""Problems put to their own canonical solutions before anything is scored: one that refuses its own is no measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble, behind_the_head
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.scoring.execute import Limits, execute


def faulty_problems(
    problems: Sequence[Problem], limits: Limits, stop: Callable[[], bool] = lambda: False
) -> Mapping[str, str]:
    """Why each of `problems` that cannot be scored here cannot, by task id; the others are left out.

    A problem is at fault where its canonical solution does not pass its test within `limits`: the test fails by itself
    (a missing package or file, a misspelt name), or what it compares does not reach it (objects, changes in place of an
    argument whose answer is not thrown away). Right answers would count as wrong ones. After a `stop`
    what was found so far is returned.
    """
    found: dict[str, str] = {}

    def keep(place: int, result: Result) -> None:
        if not result.passed:
            found[problems[place].task_id] = _reason(problems[place], result)

    execute(((problem, _program(problem)) for problem in problems), limits, keep, stop)
    return {problem.task_id: found[problem.task_id] for problem in problems if problem.task_id in found}


def _program(problem: Problem) -> str:
    return assemble(problem, behind_the_head(problem, problem.canonical_solution))


def _reason(problem: Problem, result: Result) -> str:
    if not problem.canonical_solution.strip():
        return "the problem has no canonical solution to try its test with"
    ended = {"timeout": "times out", "failed": "fails the problem's test"}.get(result.outcome, "gets no verdict")
    return f"the problem is at fault: its canonical solution {ended}: {result.detail}"
