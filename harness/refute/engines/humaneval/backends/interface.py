"""Whoever answers problems, batch by batch: one interface over models here and servers, and how answers were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import ProtocolName
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import SampleLog
from refute.engines.humaneval.samples.sampler import GREEDY, Sampler
from refute.job import ProgressCallback

REPORTED_HERE, REPORTED_THERE, UNREPORTED = "the sampler", "the server, with every answer", "requested, not reported"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes the samples of a given model."""

    protocol: ProtocolName
    max_new_tokens: int
    batch_size: int
    sampler: Sampler = GREEDY


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants answers: where finished samples are kept and under which identity, what may fail, whom to tell.

    `heed` is called again and again while answers are made, and may raise.
    """

    log: Path
    identity: Mapping[str, object]
    failures: Failures
    report: ProgressCallback
    heed: Callable[[], None] = lambda: None

    def open_log(self, manner: Mapping[str, object]) -> SampleLog:
        """The log of this identity's samples that are made in this manner."""
        entering = json.dumps({**self.identity, **manner}, sort_keys=True)
        return SampleLog(self.log, hashlib.sha256(entering.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Made:
    """How samples were made.

    `probes` are second samples of the first problems, where only one each was wanted but the sampler draws. Of
    `repeated` samples, asked for once more, `identical` came out the same, and all had to if `must_repeat`.
    """

    manner: Mapping[str, object]
    sampler: Mapping[str, object]
    sampler_reported_by: str
    depends_on: str
    repeated: int
    identical: int
    must_repeat: bool
    probes: tuple[Completion, ...] = ()
    tokens_per_s: float = 0.0
    retries: int = 0


class Answerer(Protocol):
    """Answers what it is asked, and remembers every finished sample across kills. `manner` is an `asking.Manner`."""

    manner: Mapping[str, object]

    def answer(self, problems: Sequence[Problem]) -> Sequence[Completion]:
        """All samples of `problems` that could be had, in the order of problems and then samples.

        Those in the log are not made again. What went wrong is in the wish's failures, or raised where it is too much.
        """
        ...

    def made(self) -> Made:
        """How samples are made. The first call asks for the first samples once more; answer some problems before."""
        ...


def draws_once(sampler: Sampler) -> bool:
    """Whether one sample each is wanted of a sampler that draws: a second shows whether it does."""
    return sampler.n == 1 and sampler.method != "argmax"
