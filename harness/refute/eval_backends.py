"""Where the samples of `refute eval humaneval` come from: a model in transformers or llama.cpp, or a server."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refute.console import progress, signals
from refute.errors import StoppedError, UsageError
from refute.eval_command import NOTICE, ProblemSet
from refute.evidence import file_sha256
from refute.humaneval.asking import PROBED, Desk, Manner, ask_again, ask_all
from refute.humaneval.completion import Completion
from refute.humaneval.problems import Problem
from refute.humaneval.prompts import EXTRACTION, PROTOCOLS, ProtocolName
from refute.humaneval.sampler import Sampler
from refute.job import Report, Stop

if TYPE_CHECKING:
    from refute.humaneval.config import SourceModel
    from refute.humaneval.http_client import Server

BackendName = Literal["transformers", "llama.cpp", "openai"]

UNREPORTED = "requested, not reported"
_SAMPLER, _SERVER = "the sampler", "the server, with every answer"
# What a sample depends on besides model, prompt, sampler and seed.
_DEPENDS_HERE = "the batch size, in the last bits of sums; not on the order of problems or on a resumed run"
_DEPENDS_ALONE = "nothing: one sample is computed at a time"
_DEPENDS_SLOTS = "what is computed at the same time, in the last bits of sums"
_DEPENDS_SERVER = "what the server computes at the same time, unless it promises otherwise; seeds are sent"


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask of which model. `batch_size` samples at a time; `allowed_errors` is a share of all samples."""

    model: Path
    protocol: ProtocolName
    sampler: Sampler
    max_new_tokens: int
    batch_size: int
    device: Literal["cpu", "cuda"]
    threads: int
    backend: BackendName = "transformers"
    server: Server | None = None
    allowed_errors: float = 0.0


@dataclass(frozen=True, slots=True)
class Made:
    """The samples in the order of problems, and how they were made.

    `probes` are second samples of the first problems, where only one each was wanted but the sampler draws. Of
    `repeated` samples, asked for once more, `identical` came out the same, and all had to if `must_repeat`.
    """

    completions: tuple[Completion, ...]
    probes: tuple[Completion, ...]
    manner: Mapping[str, object]
    sampler: Mapping[str, object]
    sampler_reported_by: str
    depends_on: str
    repeated: int
    identical: int
    must_repeat: bool
    tokens_per_s: float
    retries: int = 0
    failures: Mapping[tuple[str, int], str] = field(default_factory=dict)


def make_samples(order: Order, problems: ProblemSet, work: Path, identity: Mapping[str, object]) -> Made:
    """Every sample that the log `work` does not hold from before, by the order's backend."""
    make = _load_and_generate if order.backend == "transformers" else _ask
    return make(order, problems, work, identity)


def _load_and_generate(order: Order, problems: ProblemSet, work: Path, identity: Mapping[str, object]) -> Made:
    # Before torch loads. Threads that spin while they wait cost a factor of 8 when others use the cores (measured: 2.2
    # tokens/s, and 17.5 with threads that sleep, for 8 rows on 2 cores under a load of 4).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Here, and not above: scoring needs neither torch nor transformers.
    from refute.humaneval.models import load_model
    from refute.humaneval.samples import SampleLog
    from refute.humaneval.sampling import Recipe, another, answer, prepare_process, repeat

    prepare_process(order.threads)
    loaded = load_model(_source(order.model), {}, device=order.device)
    recipe = Recipe(order.protocol, order.max_new_tokens, order.batch_size, order.sampler)
    with SampleLog(work, _key(identity)) as log, _attended(work) as (report, heed):
        made = answer(loaded, problems.problems, recipe, log, report, on_step=heed)
        repeated = repeat(loaded, problems.problems, recipe, log.done)
        probes = another(loaded, _probed(order, problems), recipe)
    return Made(
        made.completions,
        tuple(probes),
        asdict(Manner(order.protocol, PROTOCOLS[order.protocol].stops, EXTRACTION, made.template_sha256)),
        asdict(made.sampler),
        _SAMPLER,
        _DEPENDS_HERE,
        repeated.samples,
        repeated.identical,
        must_repeat=True,
        tokens_per_s=made.tokens_per_s,
    )


def _ask(order: Order, problems: ProblemSet, work: Path, identity: Mapping[str, object]) -> Made:
    from refute.humaneval.http_client import Client
    from refute.humaneval.samples import SampleLog
    from refute.humaneval.server import reach

    wanted = [(problem, sample) for problem in problems.problems for sample in range(order.sampler.n)]
    with _server(order, problems) as server:
        client = Client(server)
        respondent = reach(client, server, order.protocol, order.sampler, order.max_new_tokens)
        manner = asdict(respondent.manner)
        with SampleLog(work, _key({**identity, **manner})) as log, _attended(work) as (report, heed):
            before, began = _tokens(log.done.values()), time.monotonic()
            desk = Desk(
                server.concurrency,
                tell=lambda done, total: report("generate", done, total, {"retries": client.retries}),
                on_step=heed,
                give_up=client.give_up,
                allowed_failures=math.floor(order.allowed_errors * len(wanted)),
            )
            ask_all(respondent, wanted, log, desk)
            done = log.done
            rate = (_tokens(done.values()) - before) / max(time.monotonic() - began, 1e-9)
            arrived = [each for each in wanted if (each[0].task_id, each[1]) in done]
            again = ask_again(respondent, arrived, server.concurrency)
            second = [(problem, order.sampler.n) for problem in _probed(order, problems)]
            probes = ask_again(respondent, second, server.concurrency)
    alone = order.backend == "llama.cpp" and server.concurrency == 1
    return Made(
        tuple(done[problem.task_id, sample] for problem, sample in arrived),
        tuple(probes),
        manner,
        {**asdict(order.sampler), **(respondent.reported or {})},
        UNREPORTED if respondent.reported is None else _SERVER,
        _DEPENDS_ALONE if alone else _DEPENDS_SLOTS if order.backend == "llama.cpp" else _DEPENDS_SERVER,
        len(again),
        sum(done[each.key] == each for each in again),
        must_repeat=alone or order.sampler.method == "argmax",
        tokens_per_s=rate,
        retries=client.retries,
        failures=desk.failures,
    )


@contextmanager
def _server(order: Order, problems: ProblemSet) -> Iterator[Server]:
    if order.backend == "llama.cpp":
        from refute.humaneval.llama_cpp import serve

        with serve(
            order.model,
            problems.problems,
            max_new_tokens=order.max_new_tokens,
            slots=order.batch_size,
            threads=order.threads,
        ) as server:
            yield server
    elif order.server is None:
        raise UsageError("no server to ask", hint="name one with --base-url")
    else:
        yield order.server


@contextmanager
def _attended(work: Path) -> Iterator[tuple[Report, Callable[[], None]]]:
    """Progress on the console, and what raises StoppedError once a signal came."""
    stop = Stop()

    def heed() -> None:
        if stop():
            kept = work.parent.parent
            raise StoppedError(
                f"stopped; finished samples are kept in {kept}", stop.signal, hint="the same command goes on from there"
            )

    with signals(stop, NOTICE), progress() as report:
        yield report, heed


def _probed(order: Order, problems: ProblemSet) -> Sequence[Problem]:
    """Whose second sample shows whether the sampler draws at all, where only one each is wanted."""
    draws_once = order.sampler.n == 1 and order.sampler.method != "argmax"
    return problems.problems[:PROBED] if draws_once else ()


def _tokens(completions: Iterable[Completion]) -> int:
    return sum(completion.new_tokens for completion in completions)


def _key(identity: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _source(path: Path) -> SourceModel:
    from refute.humaneval.config import SourceModel
    from refute.release import GgufModel, HfModel, Source

    if path.is_file():
        source = Source(path=path.name, sha256=file_sha256(path))
        return SourceModel(kind="source", model=GgufModel(format="gguf", source=source), path=str(path))
    return SourceModel(kind="source", model=HfModel(format="hf", path=str(path)), path=str(path))
