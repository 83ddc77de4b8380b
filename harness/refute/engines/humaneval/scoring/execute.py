"""Executes programs in the sandbox: several at a time, one short of time or memory again alone, none after a stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.sandbox.stations import Result, Stations
from refute.engines.humaneval.sandbox.tiers import Isolation

MEMORY_MIB = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: wall seconds, mebibytes of address space, and the tier that holds it."""

    timeout_s: float
    isolation: Isolation
    memory_mib: int = MEMORY_MIB
    workers: int = field(default_factory=lambda: min(os.cpu_count() or 1, 32))

    def stations(self) -> Stations:
        """As many stations as workers. Raises as `Stations` does."""
        return Stations(self.workers, self.isolation, timeout_s=self.timeout_s, memory_mib=self.memory_mib)


# A problem and the whole program that is to solve it.
Program = tuple[Problem, str]


def execute(
    programs: Iterable[Program],
    limits: Limits,
    on_result: Callable[[int, Result], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Execute `programs`, and tell `on_result` in this thread of each as it ends: its place among them, and the result.

    One that times out, or runs out of memory, is executed once more after all others, alone, and only that second
    result is told: a busy machine must not change a score. Once `stop` says so, nothing new is begun. Raises what
    `on_result` raises, after what runs has ended; UsageError and MissingInputsError as `Stations` does.
    """
    late: list[tuple[int, Program]] = []
    with limits.stations() as stations:
        for place, program, result in _side_by_side(programs, stations, limits.workers, stop):
            if result.outcome == "timeout" or result.detail.startswith("MemoryError"):
                late.append((place, program))
            else:
                on_result(place, result)
        for place, program in late:
            if not stop():
                on_result(place, replace(stations.check(*program), retried=True))


def _side_by_side(
    programs: Iterable[Program], stations: Stations, workers: int, stop: Callable[[], bool]
) -> Iterator[tuple[int, Program, Result]]:
    """Results as they arrive. No more is begun than runs or is about to: a stop waits for what runs, and no longer."""
    waiting = enumerate(programs)
    running: dict[Future[Result], tuple[int, Program]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="humaneval") as pool:
        while True:
            while len(running) < workers and not stop() and (each := next(waiting, None)) is not None:
                running[pool.submit(stations.check, *each[1])] = each
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                place, program = running.pop(future)
                yield place, program, future.result()


def run_check(
    problem: Problem, program: str, *, timeout_s: float, memory_mib: int, isolation: Isolation, seed: int = 0
) -> Result:
    """Execute one program at a station of its own: see `Stations`."""
    with Stations(1, isolation, timeout_s=timeout_s, memory_mib=memory_mib) as stations:
        return stations.check(problem, program, seed)
