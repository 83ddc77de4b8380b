"""Judges programs against problems, and estimates pass@k from the counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction

from refute.errors import MissingInputsError, UsageError
from refute.humaneval.problems import Problem, prompt_module
from refute.humaneval.sandbox import Isolation, jail_for
from refute.humaneval.slot import Task, Verdict, run_slot

_LONGEST_TIMEOUT_S = 86_400


@dataclass(frozen=True, slots=True)
class Result:
    """What one program came to. `detail` is hostile text of bounded length; `wall_s` includes starting up.

    `failed`: an assertion failed, the program raised, ended or answered nonsense. `timeout`: no verdict in
    time. `error`: sandbox or problem at fault; neither a pass nor a zero, and whoever counts must say so.
    """

    task_id: str
    passed: bool
    outcome: Verdict
    detail: str
    wall_s: float


def run_check(
    problem: Problem, program: str, *, timeout_s: float, memory_mib: int, isolation: Isolation, seed: int = 0
) -> Result:
    """Execute `program` (a whole module, prompt included) and put the problem's `check` to it.

    The check runs in a process of its own with the prompt's helpers, none of the program's; it reaches the
    program by calls only, under `problem.entry_point` as well. `timeout_s` is wall time after start-up for
    everything, `memory_mib` the program's address space. `random` is seeded by (seed, task id) on both sides.
    Raises MissingInputsError if `isolation` cannot be had here, UsageError for limits without sense.
    """
    if not (0 < timeout_s <= _LONGEST_TIMEOUT_S and memory_mib > 0):
        raise UsageError(
            f"timeout_s={timeout_s}, memory_mib={memory_mib}: expected a timeout in (0, {_LONGEST_TIMEOUT_S}] s"
            " and a positive number of mebibytes"
        )
    jail = jail_for(isolation)
    task = Task(prompt_module(problem.prompt), problem.test, problem.entry_point, program, f"{seed}:{problem.task_id}")
    started = time.monotonic()
    report = run_slot(task, jail, timeout_s=timeout_s, memory_mib=memory_mib)
    wall_s = time.monotonic() - started
    return Result(problem.task_id, report.outcome == "passed", report.outcome, report.detail, wall_s)


def score(
    problems: Sequence[Problem],
    programs: Mapping[str, str],
    *,
    timeout_s: float,
    memory_mib: int,
    isolation: Isolation,
    workers: int = 2,
    on_result: Callable[[Result], None] | None = None,
) -> tuple[Result, ...]:
    """Check `programs[task_id]` for each problem, `workers` at a time; results in the problems' order.

    `on_result` is called in this thread as each result arrives. Raises UsageError for `workers` below 1,
    MissingInputsError if a problem has no program or a program no problem, and whatever `run_check` raises.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, expected at least 1")
    _match({problem.task_id for problem in problems}, set(programs))
    jail_for(isolation)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="humaneval")
    try:
        futures = [
            pool.submit(
                run_check,
                problem,
                programs[problem.task_id],
                timeout_s=timeout_s,
                memory_mib=memory_mib,
                isolation=isolation,
            )
            for problem in problems
        ]
        for future in as_completed(futures):
            result = future.result()
            if on_result is not None:
                on_result(result)
        return tuple(future.result() for future in futures)
    finally:
        pool.shutdown(cancel_futures=True)


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
