"""Scores many samples a problem: both cores busy, a timeout retried once alone, stoppable, continued where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.sample_file import Sample
from refute.engines.humaneval.sandbox.stations import Result, Stations
from refute.engines.humaneval.sandbox.tiers import Isolation
from refute.engines.humaneval.scoring.pass_at_k import pass_at_k
from refute.engines.humaneval.scoring.result_log import ResultLog, Row, row_of
from refute.errors import MissingInputsError

MEMORY_MIB = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: wall seconds, mebibytes of address space, and the tier that holds it."""

    timeout_s: float
    isolation: Isolation
    memory_mib: int = MEMORY_MIB
    workers: int = field(default_factory=lambda: min(os.cpu_count() or 1, 32))


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of a run: samples without a verdict, each with the reason, and whether it stopped before the end."""

    errors: Mapping[tuple[str, int], str]
    stopped: bool


def program_of(problem: Problem, completion: str) -> str:
    """The program that openai/human-eval executes for a completion: the prompt, the completion, a newline."""
    return f"{problem.prompt}{completion}\n"


def score_samples(
    problems: Sequence[Problem],
    samples: Sequence[Sample],
    log: ResultLog,
    limits: Limits,
    *,
    on_row: Callable[[Row], None] = lambda _row: None,
    stop: Callable[[], bool] = lambda: False,
) -> Scored:
    """Execute every sample that `log` has no row of, and add its row as it ends; `on_row` is told in this thread.

    A sample that times out is executed once more after all others, alone, and the second verdict counts. A fault of
    sandbox or problem is no verdict: it is returned, not logged, and tried again by the next run. Once `stop` says so,
    nothing new is begun. Raises MissingInputsError if the isolation cannot be had, ExperimentError for a full disk.
    """
    by_id = {problem.task_id: problem for problem in problems}
    errors: dict[tuple[str, int], str] = {}
    late: list[Sample] = []

    def run(sample: Sample) -> Result:
        problem = by_id[sample.task_id]
        return stations.check(problem, program_of(problem, sample.completion))

    def settle(sample: Sample, result: Result, *, retried: bool) -> None:
        if result.outcome == "error":
            errors[sample.task_id, sample.index] = result.detail
            return
        row = row_of(result, sample.completion, sample.index, retried=retried)
        log.add(row)
        on_row(row)

    todo = [sample for sample in samples if (sample.task_id, sample.index) not in log.rows]
    with Stations(
        limits.workers, limits.isolation, timeout_s=limits.timeout_s, memory_mib=limits.memory_mib
    ) as stations:
        for sample, result in _side_by_side(todo, run, limits.workers, stop):
            if result.outcome == "timeout":
                late.append(sample)
            else:
                settle(sample, result, retried=False)
        for sample in late:
            if not stop():
                settle(sample, run(sample), retried=True)
    done = sum((sample.task_id, sample.index) in log.rows for sample in samples)
    return Scored(errors, stopped=done + len(errors) < len(samples))


def _side_by_side(
    samples: Sequence[Sample], run: Callable[[Sample], Result], workers: int, stop: Callable[[], bool]
) -> Iterator[tuple[Sample, Result]]:
    """Results as they arrive. No more is begun than runs or is about to: a stop waits for what runs, and no longer."""
    waiting = iter(samples)
    running: dict[Future[Result], Sample] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="humaneval") as pool:
        while True:
            while len(running) < workers and not stop() and (sample := next(waiting, None)) is not None:
                running[pool.submit(run, sample)] = sample
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield running.pop(future), future.result()


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
