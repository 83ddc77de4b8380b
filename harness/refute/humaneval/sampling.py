"""Lets a model answer all problems of an evaluation, remembering every finished sample across kills."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from transformers.utils.logging import disable_progress_bar

from refute.errors import ExperimentError
from refute.humaneval.completion import Completion
from refute.humaneval.config import EvaluateConfig
from refute.humaneval.generate import generate
from refute.humaneval.models import LoadedModel, load_model
from refute.humaneval.problems import Problem
from refute.humaneval.prompts import PROTOCOLS, ProtocolName, template_sha256
from refute.humaneval.sampler import GREEDY, Sampler
from refute.humaneval.samples import SampleLog, write_samples
from refute.job import Job, Report

_BEGINNING_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes the samples of a given model."""

    protocol: ProtocolName
    max_new_tokens: int
    batch_size: int
    sampler: Sampler = GREEDY


@dataclass(frozen=True, slots=True)
class Sampling:
    """The completions, in the order of problems and then samples, and how they were made.

    `tokens_per_s` is this process's rate, prompts included in the time; 0 if all had been sampled before.
    """

    completions: tuple[Completion, ...]
    sampler: Sampler
    template_sha256: str
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Repeated:
    """How many samples were generated once more, and how many of those came out the same."""

    samples: int
    identical: int


def prepare_process(threads: int) -> None:
    """How many CPU threads the model may use in this process; transformers draws no bars of its own."""
    torch.set_num_threads(threads)
    disable_progress_bar()


def sample_all(job: Job, config: EvaluateConfig, problems: Sequence[Problem]) -> tuple[Sampling, Repeated]:
    """Generate greedily what `job.scratch` does not hold yet and write `samples.jsonl` to `job.out`.

    Raises ExperimentError where the beginnings of the first batch do not come out the same once more.
    """
    prepare_process(config.threads)
    loaded = load_model(config.model, job.inputs, device=config.device)
    settings = config.humaneval
    recipe = Recipe(settings.prompt, settings.max_new_tokens, settings.batch_size)
    template = template_sha256(loaded.tokenizer, PROTOCOLS[recipe.protocol])
    key = hashlib.sha256(f"{config.model_dump_json()}\n{template}".encode()).hexdigest()
    with SampleLog(job.scratch / "samples.jsonl", key) as log:
        sampling = answer(loaded, problems, recipe, log, job.report)
        repeated = _repeat_beginnings(loaded, problems, recipe, log.done)
    if repeated.identical < repeated.samples:
        raise ExperimentError(
            f"only {repeated.identical} of {repeated.samples} greedy samples began the same when generated once more",
            hint="look for nondeterministic kernels on this device; such a model has no greedy score",
        )
    write_samples(job.out / "samples.jsonl", sampling.completions)
    return sampling, repeated


def answer(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    recipe: Recipe,
    log: SampleLog,
    report: Report,
    *,
    on_step: Callable[[], None] = lambda: None,
) -> Sampling:
    """Generate every sample that `log` does not hold yet; `on_step` is called after each token and may raise."""
    wanted = [(problem.task_id, sample) for problem in problems for sample in range(recipe.sampler.n)]
    meter = _Meter(report, len(wanted))
    meter.tell(len(log.done))

    def step(tokens: int) -> None:
        on_step()
        meter.count(tokens)

    for completion in _decode(loaded, problems, recipe, finished=frozenset(log.done), on_step=step):
        log.add(completion)
        meter.tell(len(log.done))
    done = log.done
    template = template_sha256(loaded.tokenizer, PROTOCOLS[recipe.protocol])
    return Sampling(tuple(done[key] for key in wanted), recipe.sampler, template, meter.tokens_per_s)


def repeat(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    recipe: Recipe,
    done: Mapping[tuple[str, int], Completion],
) -> Repeated:
    """Generate the first batch once more and count how many of its samples came out as in `done`."""
    again = _decode(loaded, problems, recipe)
    # Batches come one after the other, so these are the rows of the first.
    first = list(islice(again, min(recipe.batch_size, len(done))))
    return Repeated(len(first), sum(done[each.key] == each for each in first))


def another(loaded: LoadedModel, problems: Sequence[Problem], recipe: Recipe) -> list[Completion]:
    """A second sample of each problem, by a recipe for one: what tells a sampler that draws from one that does not."""
    two = replace(recipe, sampler=replace(recipe.sampler, n=2))
    return [completion for completion in _decode(loaded, problems, two) if completion.sample == 1]


def _repeat_beginnings(
    loaded: LoadedModel, problems: Sequence[Problem], recipe: Recipe, done: Mapping[tuple[str, int], Completion]
) -> Repeated:
    """`repeat` for a fraction of its price: the first tokens of the first batch, compared as far as both texts go."""
    short = replace(recipe, max_new_tokens=min(recipe.max_new_tokens, _BEGINNING_TOKENS))
    first = list(islice(_decode(loaded, problems, short), min(recipe.batch_size, len(done))))
    # A character that is spread over several tokens may have been cut.
    pairs = [(each.text.rstrip("\ufffd"), done[each.key].text) for each in first]
    return Repeated(len(pairs), sum(before.startswith(now[: len(before)]) for now, before in pairs))


def _decode(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    recipe: Recipe,
    *,
    finished: Collection[tuple[str, int]] = (),
    on_step: Callable[[int], None] = lambda _tokens: None,
) -> Iterator[Completion]:
    return generate(
        loaded.model,
        loaded.tokenizer,
        problems,
        protocol=PROTOCOLS[recipe.protocol],
        max_new_tokens=recipe.max_new_tokens,
        batch_size=recipe.batch_size,
        sampler=recipe.sampler,
        finished=finished,
        on_step=on_step,
    )


class _Meter:
    """Counts decoded tokens and keeps the console informed, at most twice a second between samples."""

    def __init__(self, report: Report, samples: int) -> None:
        self._report = report
        self._samples = samples
        self._began = time.monotonic()
        self._told = self._began
        self._done = 0
        self._tokens = 0

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / max(time.monotonic() - self._began, 1e-9)

    def count(self, tokens: int) -> None:
        self._tokens += tokens
        if time.monotonic() - self._told > 0.5:
            self.tell(self._done)

    def tell(self, done: int) -> None:
        self._done = done
        self._told = time.monotonic()
        facts = {"tokens": self._tokens, "tokens_per_s": round(self.tokens_per_s, 1)}
        self._report("generate", done, self._samples, facts)
