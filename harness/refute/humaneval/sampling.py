"""Lets a model answer all problems of an evaluation, remembering every finished sample across kills."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from refute.humaneval.config import EvaluateConfig
from refute.humaneval.generate import EFFECTIVE_SAMPLER, Completion, Sampler, generate
from refute.humaneval.models import load_model
from refute.humaneval.problems import Problem
from refute.humaneval.prompts import PROTOCOLS, template_sha256
from refute.humaneval.samples import SampleLog, write_samples
from refute.job import Job


@dataclass(frozen=True, slots=True)
class Sampling:
    """One completion a problem, in problem order, and how they were made.

    `tokens_per_s` is this process's rate, prompts included in the time; 0 if all had been sampled before.
    """

    completions: tuple[Completion, ...]
    sampler: Sampler
    template_sha256: str
    tokens_per_s: float


def sample_all(job: Job, config: EvaluateConfig, problems: Sequence[Problem]) -> Sampling:
    """Generate what `job.scratch` does not hold yet and write `samples.jsonl` to `job.out`."""
    torch.set_num_threads(config.threads)
    loaded = load_model(config.model, job.inputs, device=config.device)
    protocol = PROTOCOLS[config.humaneval.prompt]
    template = template_sha256(loaded.tokenizer, protocol)
    key = hashlib.sha256(f"{config.model_dump_json()}\n{template}".encode()).hexdigest()
    meter = _Meter(job, len(problems))
    with SampleLog(job.scratch / "samples.jsonl", key) as log:
        meter.tell(len(log.done))
        for completion in generate(
            loaded.model,
            loaded.tokenizer,
            problems,
            protocol=protocol,
            max_new_tokens=config.humaneval.max_new_tokens,
            batch_size=config.humaneval.batch_size,
            finished=tuple(log.done),
            on_step=meter.count,
        ):
            log.add(completion)
            meter.tell(len(log.done))
        done = log.done
    completions = tuple(done[problem.task_id] for problem in problems)
    write_samples(job.out / "samples.jsonl", completions)
    return Sampling(completions, EFFECTIVE_SAMPLER, template, meter.tokens_per_s)


class _Meter:
    """Counts decoded tokens and keeps the console informed, at most twice a second between samples."""

    def __init__(self, job: Job, problems: int) -> None:
        self._job = job
        self._problems = problems
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
        self._job.progress(
            "generate", done, self._problems, tokens=self._tokens, tokens_per_s=round(self.tokens_per_s, 1)
        )
