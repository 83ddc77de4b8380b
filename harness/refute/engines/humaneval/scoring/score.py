"""Scores one program a problem: a result for each, in the problems' order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.sandbox.tiers import Isolation
from refute.engines.humaneval.scoring.execute import Limits, execute
from refute.errors import MissingInputsError


def score(
    problems: Sequence[Problem],
    programs: Mapping[str, str],
    *,
    timeout_s: float,
    memory_mib: int,
    isolation: Isolation,
    workers: int = 2,
    on_result: Callable[[Result], None] = lambda _result: None,
) -> tuple[Result, ...]:
    """Check `programs[task_id]` for each problem, `workers` at a time; results in the problems' order.

    One that times out is executed once more after all others, alone, and the second result counts. `on_result` is
    called in this thread as each result arrives. Raises UsageError for `workers` below 1 and limits without sense,
    MissingInputsError if a problem has no program or a program no problem, and if the isolation cannot be had.
    """
    _match({problem.task_id for problem in problems}, set(programs))
    found: dict[int, Result] = {}

    def keep(place: int, result: Result) -> None:
        found[place] = result
        on_result(result)

    limits = Limits(timeout_s, isolation, memory_mib, workers)
    execute(((problem, programs[problem.task_id]) for problem in problems), limits, keep)
    return tuple(found[place] for place in range(len(problems)))


def _match(wanted: set[str], given: set[str]) -> None:
    for what, names in (("no program for", wanted - given), ("no problem called", given - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:5])
            raise MissingInputsError(
                f"{what} {len(names)} task(s): {shown}{' …' if len(names) > 5 else ''}",
                hint="give exactly one program for every problem",
            )
