"""Judges programs against problems, and estimates pass@k from the counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from fractions import Fraction

from refute.errors import MissingInputsError
from refute.humaneval.problems import Problem
from refute.humaneval.sandbox import Isolation
from refute.humaneval.stations import Result, Stations

__all__ = ["Result", "pass_at_k", "run_check", "score"]


def run_check(
    problem: Problem, program: str, *, timeout_s: float, memory_mib: int, isolation: Isolation, seed: int = 0
) -> Result:
    """Execute one program at a station of its own: see `Stations`."""
    with Stations(1, isolation, timeout_s=timeout_s, memory_mib=memory_mib) as stations:
        return stations.check(problem, program, seed)


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

    One that times out is executed once more after all others, alone, and the second verdict counts: a busy machine
    must not change a score.
    `on_result` is called in this thread as each result arrives. Raises UsageError for `workers` below 1,
    MissingInputsError if a problem has no program or a program no problem, and whatever `run_check` raises.
    """
    _match({problem.task_id for problem in problems}, set(programs))
    with (
        Stations(workers, isolation, timeout_s=timeout_s, memory_mib=memory_mib) as stations,
        ThreadPoolExecutor(workers, thread_name_prefix="humaneval") as pool,
    ):
        found: dict[str, Result] = {}
        late: list[Problem] = []
        futures = {pool.submit(stations.check, problem, programs[problem.task_id]): problem for problem in problems}
        try:
            for future in as_completed(futures):
                result = future.result()
                if result.outcome == "timeout":
                    late.append(futures[future])
                    continue
                found[result.task_id] = result
                on_result(result)
        finally:
            pool.shutdown(cancel_futures=True)
        for problem in late:
            found[problem.task_id] = replace(stations.check(problem, programs[problem.task_id]), retried=True)
            on_result(found[problem.task_id])
        return tuple(found[problem.task_id] for problem in problems)


def _match(wanted: set[str], given: set[str]) -> None:
    for what, names in (("no program for", wanted - given), ("no problem called", given - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:5])
            raise MissingInputsError(
                f"{what} {len(names)} task(s): {shown}{' …' if len(names) > 5 else ''}",
                hint="give exactly one program for every problem",
            )


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the chance that one of `k` samples passes, from `c` passes among `n` samples.

    1 - C(n-c, k) / C(n, k), Chen et al. 2021 (arXiv 2107.03374), eq. 1, in exact integers and rounded once.
    Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"c={c} passes among n={n} samples: expected 0 <= c <= n")
    if not 1 <= k <= n:
        raise ValueError(f"k={k} with n={n} samples: expected 1 <= k <= n")
    return float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))
