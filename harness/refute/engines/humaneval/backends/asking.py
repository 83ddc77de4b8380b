"""Lets something that answers one problem at a time answer all of them, several at once, and measures what came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.errors import ExperimentError

Wanted = Sequence[tuple[Problem, int]]


# How often the console hears of a server that keeps silent, and how soon a signal is heeded.
_WAIT_S = 0.5


# Enough to notice samples that do not repeat, or never differ, at a cost that does not count.
PROBED = 8


@dataclass(frozen=True, slots=True)
class Manner:
    """How a problem is put and where its answer ends, for the evidence; a digest is None where it cannot be known."""

    protocol: str
    stop_sequences: tuple[str, ...]
    extraction: str
    template_sha256: str | None


class Respondent(Protocol):
    """Answers one problem at a time; `complete` is called from several threads, and raises ExperimentError naming the
    task where there is no answer. `reported` is what the sampler itself said of its settings, None if it says nothing.
    """

    manner: Manner
    reported: Mapping[str, object] | None

    def complete(self, problem: Problem, sample: int) -> Completion: ...


@dataclass(slots=True)
class Desk:
    """What asking shares with its surroundings: how much at a time, whom to tell, and what may fail.

    `give_up` is called before an error is raised: requests that are on their way are not tried again.
    """

    concurrency: int
    tell: Callable[[], None]
    on_step: Callable[[], None]
    give_up: Callable[[], None]
    failures: Failures


def ask_all(respondent: Respondent, wanted: Wanted, log: SampleLog, desk: Desk) -> None:
    """Ask for each of `wanted` that `log` does not hold, and add it as it arrives.

    A request that fails is noted in `desk.failures`, which raises where it is one too many, after all that arrived was
    kept. `desk.on_step` is called at every answer and at least twice a second, and may raise.
    """
    todo = iter([each for each in wanted if (each[0].task_id, each[1]) not in log.done])
    running: dict[Future[Completion], Key] = {}
    with ThreadPoolExecutor(desk.concurrency, thread_name_prefix="ask") as pool:
        try:
            while True:
                while len(running) < desk.concurrency and (each := next(todo, None)) is not None:
                    running[pool.submit(respondent.complete, *each)] = each[0].task_id, each[1]
                if not running:
                    return
                ended, _ = wait(running, _WAIT_S, return_when=FIRST_COMPLETED)
                # All that arrived are kept, then the first error counts.
                for future in sorted(ended, key=lambda each: each.exception() is not None):
                    _take(future, running.pop(future), log, desk)
                desk.tell()
                desk.on_step()
        except BaseException:
            desk.give_up()
            raise


def ask_again(respondent: Respondent, wanted: Wanted, concurrency: int) -> list[Completion]:
    """The first few of `wanted`, asked for as before; nothing is remembered."""
    with ThreadPoolExecutor(concurrency, thread_name_prefix="again") as pool:
        return list(pool.map(lambda each: respondent.complete(*each), wanted[:PROBED]))


def diversity(completions: Sequence[Completion]) -> dict[str, int]:
    """How different the samples of a problem are: at a temperature above 0 they must not all be one."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for completion in completions:
        texts[completion.task_id].append(completion.text)
    several = [found for found in texts.values() if len(found) > 1]
    return {
        "samples": len(completions),
        "distinct_samples": sum(len(set(found)) for found in texts.values()),
        "problems": len(texts),
        "problems_with_several_samples": len(several),
        "problems_with_identical_samples": sum(len(set(found)) == 1 for found in several),
    }


def _take(future: Future[Completion], key: Key, log: SampleLog, desk: Desk) -> None:
    try:
        completion = future.result()
    except ExperimentError as error:
        desk.failures.add(key, error)
        return
    # Not above: a disk that is full is no fault of the sample.
    log.add(completion)
