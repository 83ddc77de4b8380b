"""The backend of models that are loaded here, in transformers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch
from transformers.utils.logging import disable_progress_bar

from refute.engines.humaneval.backends.interface import (
    PROBED,
    REPORTED_HERE,
    Backend,
    GenerationContext,
    GenerationFacts,
    GenerationSettings,
    PromptFormat,
    draws_once,
)
from refute.engines.humaneval.backends.local.generate import Failed, generate
from refute.engines.humaneval.backends.local.models import LoadedModel, load_model
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import EXTRACTION, template_sha256
from refute.engines.humaneval.samples.call_log import Note, note_nothing
from refute.engines.humaneval.samples.completion import Completion, Key
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.errors import ExperimentError
from refute.job import Inputs, ProgressCallback
from refute.spec.experiments.evidence.humaneval import ModelCall
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
def open_transformers(
    choice: ModelChoice,
    inputs: Mapping[str, Inputs],
    generation: GenerationSettings,
    context: GenerationContext,
    *,
    device: str,
    threads: int,
    repeat_tokens: int | None = None,
) -> Iterator[Backend]:
    """The model that `choice` names, loaded; of the samples asked for once more only `repeat_tokens`, or all.

    Raises as `load_model` does.
    """
    prepare_process(threads)
    backend = _TransformersBackend(load_model(choice, inputs, device=device), generation, context, repeat_tokens)
    try:
        yield backend
    finally:
        backend.close()


def prepare_process(threads: int) -> None:
    """How many CPU threads the model may use in this process; transformers draws no bars of its own."""
    torch.set_num_threads(threads)
    disable_progress_bar()


class _TransformersBackend:
    """An `Backend`."""

    def __init__(
        self, loaded: LoadedModel, generation: GenerationSettings, context: GenerationContext, repeat_tokens: int | None
    ) -> None:
        self._loaded, self._settings, self._context, self._repeat_tokens = loaded, generation, context, repeat_tokens
        protocol = generation.protocol
        template = template_sha256(loaded.tokenizer, protocol)
        self.prompt_format = PromptFormat(protocol.name, protocol.stops, EXTRACTION, template, protocol.system_prompt)
        self._log: SampleLog = context.open_log(self.prompt_format)
        self._requested: list[Problem] = []
        self._first: Sequence[Problem] = ()
        self._again: tuple[Repeated, tuple[Completion, ...]] | None = None
        self._tokens, self._seconds = 0, 0.0

    def close(self) -> None:
        """Release the log."""
        self._log.close()

    def generate(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        self._first = self._first or problems
        self._requested += problems
        found = generate_samples(self._loaded, problems, self._settings, self._log, self._context)
        self._tokens += found.tokens
        self._seconds += found.seconds
        return found.completions

    def facts(self) -> GenerationFacts:
        self._again = self._again or self._request_again()
        repeated, probes = self._again
        return GenerationFacts(
            self.prompt_format,
            asdict(self._settings.sampler),
            REPORTED_HERE,
            _DEPENDS,
            repeated.samples,
            repeated.identical,
            must_repeat=True,
            probes=probes,
            tokens_per_s=self._tokens / max(self._seconds, 1e-9),
        )

    def _request_again(self) -> tuple[Repeated, tuple[Completion, ...]]:
        # Those that were decoded together, for that is what a sample depends on.
        repeated = repeat(self._loaded, self._first, self._settings, self._log.done, tokens=self._repeat_tokens)
        probed = self._requested[:PROBED] if draws_once(self._settings.sampler) else ()
        return repeated, tuple(another(self._loaded, probed, self._settings))


def generate_samples(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    generation: GenerationSettings,
    log: SampleLog,
    context: GenerationContext,
) -> Sampling:
    """Generate every sample that `log` does not hold yet; `context.check_stop` is called after each token."""
    wanted = [(problem.task_id, sample) for problem in problems for sample in range(generation.sampler.n)]
    meter = _Meter(context.report, context.failures.total)
    meter.tell(len(log.done))

    def step(tokens: int) -> None:
        context.check_stop()
        meter.count(tokens)

    made = _decode(
        loaded,
        problems,
        generation,
        finished=frozenset(log.done),
        failed=context.failures.add,
        on_step=step,
        on_call=context.on_call,
    )
    for completion in made:
        log.add(completion)
        meter.tell(len(log.done))
    done = log.done
    return Sampling(tuple(done[key] for key in wanted if key in done), meter.tokens, meter.seconds)


def repeat(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    generation: GenerationSettings,
    done: Mapping[Key, Completion],
    *,
    tokens: int | None = None,
) -> Repeated:
    """Generate the first rows of a run once more and count how many of their samples came out as in `done`.

    With `tokens`, for a fraction of the price: only so many of each, compared as far as both texts go.
    """
    begun: list[Key] = []
    found: dict[Key, Completion] = {}

    def on_call(call: ModelCall) -> None:
        begun.append((call.task_id, call.sample))

    # As in the run itself, others take the place of rows that end: sums depend on what is decoded together.
    for each in _decode(loaded, problems, generation, failed=_ignore, on_call=on_call, steps=tokens):
        found[each.key] = each
        first = [key for key in begun[: generation.batch_size] if key in done]
        if found.keys() >= set(first):
            break
    pairs = [(found[key], done[key]) for key in begun[: generation.batch_size] if key in found and key in done]
    alike = _begin_alike if tokens else Completion.__eq__
    return Repeated(len(pairs), sum(bool(alike(now, before)) for now, before in pairs))


def another(loaded: LoadedModel, problems: Sequence[Problem], generation: GenerationSettings) -> list[Completion]:
    """A second sample of each problem, where one each is wanted: what tells whether a sampler draws."""
    two = replace(generation, sampler=replace(generation.sampler, n=2))
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
    generation: GenerationSettings,
    *,
    failed: Failed,
    finished: Collection[Key] = (),
    on_step: Callable[[int], None] = lambda _tokens: None,
    on_call: Note = note_nothing,
    steps: int | None = None,
) -> Iterator[Completion]:
    return generate(
        loaded.model,
        loaded.tokenizer,
        problems,
        protocol=generation.protocol,
        max_new_tokens=generation.max_new_tokens,
        batch_size=generation.batch_size,
        sampler=generation.sampler,
        finished=finished,
        failed=failed,
        on_step=on_step,
        on_call=on_call,
        steps=steps,
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
