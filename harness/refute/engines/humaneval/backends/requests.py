"""Sends many requests to something that completes one problem at a time: several at once, each result logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from refute.engines.humaneval.backends.interface import PROBED, PromptFormat
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.errors import ExperimentError

Wanted = Sequence[tuple[Problem, int]]

# How often the console hears of a server that keeps silent, and how soon a signal is heeded.
_WAIT_S = 0.5


class CompletionApi(Protocol):
    """Completes one problem at a time; `complete` is called from several threads, and raises ExperimentError naming the
    task where there is no answer. `reported` is what the sampler itself said of its settings, None if it says nothing;
    `adaptations` are those of `GenerationFacts`.
    """

    prompt_format: PromptFormat
    reported: Mapping[str, object] | None

    @property
    def adaptations(self) -> tuple[str, ...]: ...

    def complete(self, problem: Problem, sample: int) -> Completion: ...


@dataclass(slots=True)
class RequestOptions:
    """How requests are sent: how many at a time, whom to tell of progress, and what may fail.

    `give_up` is called before an error is raised: requests that are on their way are not tried again.
    """

    concurrency: int
    on_progress: Callable[[], None]
    on_step: Callable[[], None]
    give_up: Callable[[], None]
    failures: Failures


def request_all(api: CompletionApi, wanted: Wanted, log: SampleLog, options: RequestOptions) -> None:
    """Ask for each of `wanted` that `log` does not hold, and add it as it arrives.

    A request that fails is noted in `options.failures`, which raises where it is one too many, after all that arrived
    was kept. `options.on_step` is called at every answer and at least twice a second, and may raise.
    """
    todo = iter([each for each in wanted if (each[0].task_id, each[1]) not in log.done])
    running: dict[Future[Completion], Key] = {}
    with ThreadPoolExecutor(options.concurrency, thread_name_prefix="ask") as pool:
        try:
            while True:
                while len(running) < options.concurrency and (each := next(todo, None)) is not None:
                    running[pool.submit(api.complete, *each)] = each[0].task_id, each[1]
                if not running:
                    return
                ended, _ = wait(running, _WAIT_S, return_when=FIRST_COMPLETED)
                # All that arrived are kept, then the first error counts.
                for future in sorted(ended, key=lambda each: each.exception() is not None):
                    _take(future, running.pop(future), log, options)
                options.on_progress()
                options.on_step()
        except BaseException:
            options.give_up()
            raise


def request_again(api: CompletionApi, wanted: Wanted, concurrency: int) -> list[Completion]:
    """The first few of `wanted`, asked for as before; nothing is remembered."""
    with ThreadPoolExecutor(concurrency, thread_name_prefix="again") as pool:
        return list(pool.map(lambda each: api.complete(*each), wanted[:PROBED]))


def _take(future: Future[Completion], key: Key, log: SampleLog, options: RequestOptions) -> None:
    try:
        completion = future.result()
    except ExperimentError as error:
        options.failures.add(key, error)
        return
    # Not above: a disk that is full is no fault of the sample.
    log.add(completion)
