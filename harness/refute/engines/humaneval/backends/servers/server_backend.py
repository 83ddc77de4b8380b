"""The backend of servers, and of llama.cpp in this process, which is asked in the same way: completions over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from refute.engines.humaneval.backends.interface import (
    PROBED,
    REPORTED_THERE,
    UNREPORTED,
    Backend,
    Dependence,
    GenerationContext,
    GenerationFacts,
    GenerationSettings,
    draws_once,
)
from refute.engines.humaneval.backends.requests import (
    CompletionApi,
    RequestOptions,
    Wanted,
    request_again,
    request_all,
)
from refute.engines.humaneval.backends.servers.discover import reach
from refute.engines.humaneval.backends.servers.llama_cpp import serve
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.engines.model.server.client import Client, Server

_ALONE = Dependence("nothing: one sample is computed at a time", repeatable=True)
_SLOTS = Dependence("what is computed at the same time, in the last bits of sums", repeatable=False)

_SERVER = Dependence(
    "what the server computes at the same time, unless it promises otherwise; seeds are sent", repeatable=False
)


@dataclass(frozen=True, slots=True)
class _Again:
    repeated: int
    identical: int
    probes: tuple[Completion, ...]


class _ServerBackend:
    """A `Backend` over HTTP."""

    def __init__(
        self,
        api: CompletionApi,
        client: Client,
        server: Server,
        generation: GenerationSettings,
        context: GenerationContext,
        depends_on: Dependence,
    ) -> None:
        self._api, self._client, self._server = api, client, server
        self._settings, self._context, self._depends_on = generation, context, depends_on
        self.prompt_format = api.prompt_format
        self._log: SampleLog = context.open_log(self.prompt_format)
        self._requested: list[Problem] = []
        self._again: _Again | None = None
        self._tokens, self._seconds = 0, 0.0

    def close(self) -> None:
        """Release the log."""
        self._log.close()

    def generate(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        self._requested += problems
        wanted = [(problem, sample) for problem in problems for sample in range(self._settings.sampler.n)]
        before, began = _tokens(self._log.done.values()), time.monotonic()
        request_all(self._api, wanted, self._log, self._request_options())
        done = self._log.done
        self._tokens += _tokens(done.values()) - before
        self._seconds += time.monotonic() - began
        return [done[problem.task_id, sample] for problem, sample in wanted if (problem.task_id, sample) in done]

    def facts(self) -> GenerationFacts:
        self._again = self._again or self._request_again()
        reported, sampler = self._api.reported, self._settings.sampler
        return GenerationFacts(
            self.prompt_format,
            {**asdict(sampler), **(reported or {})},
            UNREPORTED if reported is None else REPORTED_THERE,
            self._depends_on.words,
            self._again.repeated,
            self._again.identical,
            must_repeat=self._depends_on.repeatable or sampler.method == "argmax",
            probes=self._again.probes,
            tokens_per_s=self._tokens / max(self._seconds, 1e-9),
            retries=self._client.retries,
            adaptations=self._api.adaptations,
        )

    def _request_options(self) -> RequestOptions:
        context = self._context

        def on_progress() -> None:
            context.report("generate", len(self._log.done), context.failures.total, {"retries": self._client.retries})

        return RequestOptions(
            self._server.concurrency, on_progress, context.check_stop, self._client.give_up, context.failures
        )

    def _request_again(self) -> _Again:
        done, sampler = self._log.done, self._settings.sampler
        arrived = [
            (problem, sample)
            for problem in self._requested
            for sample in range(sampler.n)
            if (problem.task_id, sample) in done
        ]
        second: Wanted = [(problem, 1) for problem, _ in arrived[:PROBED]] if draws_once(sampler) else []
        again = request_again(self._api, arrived, self._server.concurrency)
        probes = request_again(self._api, second, self._server.concurrency)
        return _Again(len(again), sum(done[each.key] == each for each in again), tuple(probes))


@contextmanager
def open_server(server: Server, generation: GenerationSettings, context: GenerationContext) -> Iterator[Backend]:
    """The model behind `server`. Raises as `reach` does."""
    with _open(server, generation, context, _SERVER) as backend:
        yield backend


@contextmanager
def open_llama_cpp(
    path: Path, problems: Sequence[Problem], generation: GenerationSettings, context: GenerationContext, *, threads: int
) -> Iterator[Backend]:
    """The GGUF file at `path`, `generation.batch_size` samples at a time; `problems` are all it may be asked.

    Raises as `serve` does.
    """
    slots, tokens = generation.batch_size, generation.max_new_tokens
    with (
        serve(
            path,
            problems,
            max_new_tokens=tokens,
            slots=slots,
            threads=threads,
            system_prompt=generation.protocol.system_prompt,
        ) as server,
        _open(server, generation, context, _ALONE if slots == 1 else _SLOTS) as backend,
    ):
        yield backend


@contextmanager
def _open(
    server: Server, generation: GenerationSettings, context: GenerationContext, depends_on: Dependence
) -> Iterator[Backend]:
    client = Client(server)
    sampler, tokens = generation.sampler, generation.max_new_tokens
    api = reach(client, server, generation.protocol, sampler, tokens, context.on_call)
    backend = _ServerBackend(api, client, server, generation, context, depends_on)
    try:
        yield backend
    finally:
        backend.close()


def _tokens(completions: Iterable[Completion]) -> int:
    return sum(completion.new_tokens for completion in completions)
