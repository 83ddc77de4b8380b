"""A pool of sandbox stations for several programs at a time: each is lent to one thread, and stays for the next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from refute.engines.humaneval.problems.in_place import looks_at_arguments
from refute.engines.humaneval.problems.problems import Problem, prompt_module
from refute.engines.humaneval.sandbox.station import ProgramOutcome, Station, Task
from refute.engines.humaneval.sandbox.tiers import Isolation, jail_for
from refute.errors import UsageError

_LONGEST_TIMEOUT_S = 86_400


@dataclass(frozen=True, slots=True)
class Result:
    """What one program came to. `detail` is hostile text of bounded length; `wall_s` includes starting up.

    `failed`: an assertion failed, the program raised, ended or answered nonsense. `timeout`: no verdict in
    time. `error`: sandbox or problem at fault; neither a pass nor a zero, and whoever counts must say so. `retried`:
    this is the verdict of a second execution, alone, after one that ran out of time or memory.
    """

    task_id: str
    passed: bool
    outcome: ProgramOutcome
    detail: str
    wall_s: float
    retried: bool = False


class Stations:
    """`count` stations of one kind, as a context manager: leaving it ends every process of them.

    `timeout_s` is wall time after start-up for everything, `memory_mib` the program's address space. Raises
    MissingInputsError if `isolation` cannot be had here, UsageError for limits without sense.
    """

    def __init__(self, count: int, isolation: Isolation, *, timeout_s: float, memory_mib: int) -> None:
        if count < 1:
            raise UsageError(f"workers is {count}, expected at least 1")
        if not (0 < timeout_s <= _LONGEST_TIMEOUT_S and memory_mib > 0):
            raise UsageError(
                f"timeout_s={timeout_s}, memory_mib={memory_mib}: expected a timeout in (0, {_LONGEST_TIMEOUT_S}] s"
                " and a positive number of mebibytes"
            )
        jail = jail_for(isolation)
        self._all = [Station(jail, timeout_s=timeout_s, memory_mib=memory_mib) for _ in range(count)]
        self._free: SimpleQueue[Station] = SimpleQueue()
        for station in self._all:
            self._free.put(station)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for station in self._all:
            station.close()

    def check(self, problem: Problem, program: str, seed: int = 0) -> Result:
        """Execute `program` (a whole module, prompt included) and put the problem's `check` to it, at a free station.

        The check runs in a process that never runs the program, with the prompt's helpers; it reaches the
        program by calls only, under `problem.entry_point` as well. `random` is seeded by (seed, task id) on both sides.
        Arguments that the program changed are changed for a test that `looks_at_arguments`, and for no other.
        """
        prompt = prompt_module(problem.prompt)
        in_place = looks_at_arguments(problem.test, problem.entry_point)
        task = Task(prompt, problem.test, problem.entry_point, program, f"{seed}:{problem.task_id}", in_place)
        station = self._free.get()
        try:
            started = time.monotonic()
            report = station.run(task)
            wall_s = time.monotonic() - started
        finally:
            self._free.put(station)
        return Result(problem.task_id, report.outcome == "passed", report.outcome, report.detail, wall_s)
