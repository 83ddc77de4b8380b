"""Answers from a model that is loaded here, in transformers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice

import torch
from transformers.utils.logging import disable_progress_bar

from refute.engines.humaneval.backends.asking import PROBED, Manner
from refute.engines.humaneval.backends.interface import REPORTED_HERE, Answerer, Made, Recipe, Wish, draws_once
from refute.engines.humaneval.backends.local.generate import Failed, generate
from refute.engines.humaneval.backends.local.models import LoadedModel, load_model
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import EXTRACTION, PROTOCOLS, template_sha256
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.errors import ExperimentError
from refute.job import Inputs, ProgressCallback
from refute.spec.experiments.humaneval import ModelChoice

# What a sample depends on besides model, prompt, sampler and seed.
_DEPENDS = "the batch size, in the last bits of sums; not on the order of problems or on a resumed run"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Completions in the order of problems and then samples, and what it took this process: tokens, and seconds."""

    completions: tuple[Completion, ...]
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Repeated:
    """How many samples were generated once more, and how many of those came out the same."""

    samples: int
    identical: int


@contextmanager
def in_transformers(
    choice: ModelChoice,
    inputs: Mapping[str, Inputs],
    recipe: Recipe,
    wish: Wish,
    *,
    device: str,
    threads: int,
    repeat_tokens: int | None = None,
) -> Iterator[Answerer]:
    """The model that `choice` names, loaded; of the samples asked for once more only `repeat_tokens`, or all.

    Raises as `load_model` does.
    """
    prepare_process(threads)
    answerer = _Loaded(load_model(choice, inputs, device=device), recipe, wish, repeat_tokens)
    try:
        yield answerer
    finally:
        answerer.close()


def prepare_process(threads: int) -> None:
    """How many CPU threads the model may use in this process; transformers draws no bars of its own."""
    torch.set_num_threads(threads)
    disable_progress_bar()


class _Loaded:
    """An `Answerer`."""

    def __init__(self, loaded: LoadedModel, recipe: Recipe, wish: Wish, repeat_tokens: int | None) -> None:
        self._loaded, self._recipe, self._wish, self._repeat_tokens = loaded, recipe, wish, repeat_tokens
        protocol = PROTOCOLS[recipe.protocol]
        template = template_sha256(loaded.tokenizer, protocol)
        self.manner: Mapping[str, object] = asdict(Manner(recipe.protocol, protocol.stops, EXTRACTION, template))
        self._log: SampleLog = wish.open_log(self.manner)
        self._asked: list[Problem] = []
        self._first: Sequence[Problem] = ()
        self._again: tuple[Repeated, tuple[Completion, ...]] | None = None
        self._tokens, self._seconds = 0, 0.0

    def close(self) -> None:
        """Release the log."""
        self._log.close()

    def answer(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        self._first = self._first or problems
        self._asked += problems
        found = answer(self._loaded, problems, self._recipe, self._log, self._wish)
        self._tokens += found.tokens
        self._seconds += found.seconds
        return found.completions

    def made(self) -> Made:
        self._again = self._again or self._ask_again()
        repeated, probes = self._again
        return Made(
            self.manner,
            asdict(self._recipe.sampler),
            REPORTED_HERE,
            _DEPENDS,
            repeated.samples,
            repeated.identical,
            must_repeat=True,
            probes=probes,
            tokens_per_s=self._tokens / max(self._seconds, 1e-9),
        )

    def _ask_again(self) -> tuple[Repeated, tuple[Completion, ...]]:
        # Those that were decoded together, for that is what a sample depends on.
        repeated = repeat(self._loaded, self._first, self._recipe, self._log.done, tokens=self._repeat_tokens)
        probed = self._asked[:PROBED] if draws_once(self._recipe.sampler) else ()
        return repeated, tuple(another(self._loaded, probed, self._recipe))


def answer(loaded: LoadedModel, problems: Sequence[Problem], recipe: Recipe, log: SampleLog, wish: Wish) -> Sampling:
    """Generate every sample that `log` does not hold yet; `wish.heed` is called after each token and may raise."""
    wanted = [(problem.task_id, sample) for problem in problems for sample in range(recipe.sampler.n)]
    meter = _Meter(wish.report, wish.failures.total)
    meter.tell(len(log.done))

    def step(tokens: int) -> None:
        wish.heed()
        meter.count(tokens)

    made = _decode(loaded, problems, recipe, finished=frozenset(log.done), failed=wish.failures.add, on_step=step)
    for completion in made:
        log.add(completion)
        meter.tell(len(log.done))
    done = log.done
    return Sampling(tuple(done[key] for key in wanted if key in done), meter.tokens, meter.seconds)


def repeat(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    recipe: Recipe,
    done: Mapping[Key, Completion],
    *,
    tokens: int | None = None,
) -> Repeated:
    """Generate the first batch once more and count how many of its samples came out as in `done`.

    With `tokens`, for a fraction of the price: only so many of each, compared as far as both texts go.
    """
    short = replace(recipe, max_new_tokens=min(recipe.max_new_tokens, tokens or recipe.max_new_tokens))
    # Batches come one after the other, so these are the rows of the first, but for those without an answer.
    again = list(islice(_decode(loaded, problems, short, failed=_ignore), min(recipe.batch_size, len(done))))
    pairs = [(each, done[each.key]) for each in again if each.key in done]
    alike = _begin_alike if tokens else Completion.__eq__
    return Repeated(len(pairs), sum(bool(alike(now, before)) for now, before in pairs))


def another(loaded: LoadedModel, problems: Sequence[Problem], recipe: Recipe) -> list[Completion]:
    """A second sample of each problem, by a recipe for one: what tells a sampler that draws from one that does not."""
    two = replace(recipe, sampler=replace(recipe.sampler, n=2))
    return [each for each in _decode(loaded, problems, two, failed=_ignore) if each.sample == 1]


def _begin_alike(now: Completion, before: Completion) -> bool:
    # A character that is spread over several tokens may have been cut.
    begun = now.text.rstrip("\ufffd")
    return begun.startswith(before.text[: len(begun)])


def _ignore(_key: Key, _error: ExperimentError) -> None:
    """What cannot be had the first time cannot be compared."""


def _decode(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    recipe: Recipe,
    *,
    failed: Failed,
    finished: Collection[Key] = (),
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
        failed=failed,
        on_step=on_step,
    )


class _Meter:
    """Counts decoded tokens and keeps the console informed, at most twice a second between samples."""

    def __init__(self, report: ProgressCallback, samples: int) -> None:
        self._report = report
        self._samples = samples
        self._began = time.monotonic()
        self._told = self._began
        self._done = 0
        self.tokens = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def count(self, tokens: int) -> None:
        self.tokens += tokens
        if time.monotonic() - self._told > 0.5:
            self.tell(self._done)

    def tell(self, done: int) -> None:
        self._done = done
        self._told = time.monotonic()
        facts = {"tokens": self.tokens, "tokens_per_s": round(self.tokens / max(self.seconds, 1e-9), 1)}
        self._report("generate", done, self._samples, facts)
