"""The interface of generation backends: what each is given, does, and says of how samples were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import Protocol as AskingProtocol
from refute.engines.humaneval.samples.call_log import Note, note_nothing
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.engines.humaneval.samples.sampler import GREEDY, Sampler
from refute.job import ProgressCallback

REPORTED_HERE, REPORTED_THERE, UNREPORTED = "the sampler", "the server, with every answer", "requested, not reported"

# Enough to notice samples that do not repeat, or never differ, at a cost that does not count.
PROBED = 8


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a problem is put and where its answer ends, for the evidence; a digest is None where it cannot be known.

    `system_prompt` is None where there is no such turn.
    """

    protocol: str
    stop_sequences: tuple[str, ...]
    extraction: str
    template_sha256: str | None
    system_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Dependence:
    """What a sample depends on besides model, prompt, sampler and seed, in words, and whether the same sample must come
    out again for whoever draws; greedy samples always must.
    """

    words: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """Everything that shapes the samples of a given model."""

    protocol: AskingProtocol
    max_new_tokens: int
    batch_size: int
    sampler: Sampler = GREEDY


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """What a run hands to its backend: where finished samples are kept, of what identity, what may fail, whom to tell.

    `check_stop` is called again and again while samples are made, and may raise. `on_call` is told what a model is
    asked for each sample, where it is asked.
    """

    log: Path
    identity: Mapping[str, object]
    failures: Failures
    report: ProgressCallback
    check_stop: Callable[[], None] = lambda: None
    on_call: Note = note_nothing

    def open_log(self, prompt_format: PromptFormat) -> SampleLog:
        """The log of this identity's samples that are asked for in this format."""
        entering = json.dumps({**self.identity, **asdict(prompt_format)}, sort_keys=True)
        return SampleLog(self.log, hashlib.sha256(entering.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """How samples were made.

    `probes` are second samples of the first problems, where only one each was wanted but the sampler draws. Of
    `repeated` samples, asked for once more, `identical` came out the same, and all had to if `must_repeat`. A server
    that refused a parameter by name was sent another, or none: `adaptations` says so, and how it calls its model.
    """

    prompt_format: PromptFormat
    sampler: Mapping[str, object]
    sampler_reported_by: str
    depends_on: str
    repeated: int
    identical: int
    must_repeat: bool
    probes: tuple[Completion, ...] = ()
    tokens_per_s: float = 0.0
    retries: int = 0
    adaptations: tuple[str, ...] = ()


class Backend(Protocol):
    """Generates completions, and remembers every finished sample across kills."""

    prompt_format: PromptFormat

    def generate(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        """All samples of `problems` that could be had, in the order of problems and then samples.

        Those in the log are not made again. What failed is in the context's failures, or raised where it is too much.
        """
        ...

    def facts(self) -> GenerationFacts:
        """How samples are made. The first call asks for the first samples once more; generate some before."""
        ...


def draws_once(sampler: Sampler) -> bool:
    """Whether one sample each is wanted of a sampler that draws: a second shows whether it does."""
    return sampler.n == 1 and sampler.method != "argmax"
