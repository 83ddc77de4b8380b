"""Answers from a server, or from llama.cpp in this process, which is asked in the same way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from refute.engines.humaneval.backends.asking import PROBED, Desk, Respondent, Wanted, ask_again, ask_all
from refute.engines.humaneval.backends.interface import (
    REPORTED_THERE,
    UNREPORTED,
    Answerer,
    Made,
    Recipe,
    Wish,
    draws_once,
)
from refute.engines.humaneval.backends.servers.discover import reach
from refute.engines.humaneval.backends.servers.http_client import Client, Server
from refute.engines.humaneval.backends.servers.llama_cpp import serve
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sample_log import SampleLog

# What a sample depends on besides model, prompt, sampler and seed.
_ALONE = "nothing: one sample is computed at a time"


_SLOTS = "what is computed at the same time, in the last bits of sums"


_SERVER = "what the server computes at the same time, unless it promises otherwise; seeds are sent"


@dataclass(frozen=True, slots=True)
class _Again:
    repeated: int
    identical: int
    probes: tuple[Completion, ...]


class _Served:
    """An `Answerer`."""

    def __init__(
        self, respondent: Respondent, client: Client, server: Server, recipe: Recipe, wish: Wish, depends_on: str
    ) -> None:
        self._respondent, self._client, self._server = respondent, client, server
        self._recipe, self._wish, self._depends_on = recipe, wish, depends_on
        self.manner: Mapping[str, object] = asdict(respondent.manner)
        self._log: SampleLog = wish.open_log(self.manner)
        self._asked: list[Problem] = []
        self._again: _Again | None = None
        self._tokens, self._seconds = 0, 0.0

    def close(self) -> None:
        """Release the log."""
        self._log.close()

    def answer(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        self._asked += problems
        wanted = [(problem, sample) for problem in problems for sample in range(self._recipe.sampler.n)]
        before, began = _tokens(self._log.done.values()), time.monotonic()
        ask_all(self._respondent, wanted, self._log, self._desk())
        done = self._log.done
        self._tokens += _tokens(done.values()) - before
        self._seconds += time.monotonic() - began
        return [done[problem.task_id, sample] for problem, sample in wanted if (problem.task_id, sample) in done]

    def made(self) -> Made:
        self._again = self._again or self._ask_again()
        reported, sampler = self._respondent.reported, self._recipe.sampler
        return Made(
            self.manner,
            {**asdict(sampler), **(reported or {})},
            UNREPORTED if reported is None else REPORTED_THERE,
            self._depends_on,
            self._again.repeated,
            self._again.identical,
            must_repeat=self._depends_on == _ALONE or sampler.method == "argmax",
            probes=self._again.probes,
            tokens_per_s=self._tokens / max(self._seconds, 1e-9),
            retries=self._client.retries,
        )

    def _desk(self) -> Desk:
        wish = self._wish

        def tell() -> None:
            wish.report("generate", len(self._log.done), wish.failures.total, {"retries": self._client.retries})

        return Desk(self._server.concurrency, tell, wish.heed, self._client.give_up, wish.failures)

    def _ask_again(self) -> _Again:
        done, sampler = self._log.done, self._recipe.sampler
        arrived = [
            (problem, sample)
            for problem in self._asked
            for sample in range(sampler.n)
            if (problem.task_id, sample) in done
        ]
        second: Wanted = [(problem, 1) for problem, _ in arrived[:PROBED]] if draws_once(sampler) else []
        again = ask_again(self._respondent, arrived, self._server.concurrency)
        probes = ask_again(self._respondent, second, self._server.concurrency)
        return _Again(len(again), sum(done[each.key] == each for each in again), tuple(probes))


@contextmanager
def at_server(server: Server, recipe: Recipe, wish: Wish) -> Iterator[Answerer]:
    """Whatever answers at `server`. Raises as `reach` does."""
    with _asked(server, recipe, wish, _SERVER) as answerer:
        yield answerer


@contextmanager
def in_llama_cpp(
    path: Path, problems: Sequence[Problem], recipe: Recipe, wish: Wish, *, threads: int
) -> Iterator[Answerer]:
    """The GGUF file at `path`, `recipe.batch_size` samples at a time; `problems` are all it may be asked.

    Raises as `serve` does.
    """
    slots, tokens = recipe.batch_size, recipe.max_new_tokens
    with (
        serve(path, problems, max_new_tokens=tokens, slots=slots, threads=threads) as server,
        _asked(server, recipe, wish, _ALONE if slots == 1 else _SLOTS) as answerer,
    ):
        yield answerer


@contextmanager
def _asked(server: Server, recipe: Recipe, wish: Wish, depends_on: str) -> Iterator[Answerer]:
    client = Client(server)
    respondent = reach(client, server, recipe.protocol, recipe.sampler, recipe.max_new_tokens)
    answerer = _Served(respondent, client, server, recipe, wish, depends_on)
    try:
        yield answerer
    finally:
        answerer.close()


def _tokens(completions: Iterable[Completion]) -> int:
    return sum(completion.new_tokens for completion in completions)
