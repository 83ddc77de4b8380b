"""Options that commands of `refute eval` share, and the groups that they form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from refute.errors import UsageError

# What these groups become is imported where it is made: `refute --help` needs no engine.
if TYPE_CHECKING:
    from refute.cli.eval.problem_set import ProblemSet
    from refute.engines.humaneval.scoring.execute import Limits
    from refute.engines.model.server.client import Server
    from refute.spec.bars.sequential import Design


class Tier(StrEnum):
    """Isolation tiers, from least to most."""

    RLIMITS = "rlimits"
    SECCOMP = "seccomp"
    BUBBLEWRAP = "bubblewrap"


class Device(StrEnum):
    """Where a model computes."""

    CPU = "cpu"
    CUDA = "cuda"


class Backend(StrEnum):
    """Who computes the answers."""

    TRANSFORMERS = "transformers"
    LLAMA_CPP = "llama.cpp"
    OPENAI = "openai"


class Rule(StrEnum):
    """Spending functions of a sequential test."""

    POCOCK = "pocock"
    OBRIEN_FLEMING = "obrien_fleming"


class Protocol(StrEnum):
    """How a problem is put to a model."""

    COMPLETION = "completion"
    CHAT = "chat"

    @property
    def engine_name(self) -> Literal["completion", "chat_primed"]:
        """The engine's word for it: the chat template, with the answer's beginning given."""
        return "chat_primed" if self is Protocol.CHAT else "completion"


Problems = Annotated[
    Path | None, typer.Option(help="Problem file of HumanEval's schema (default: the official 164, by their digest).")
]

Timeout = Annotated[float, typer.Option(help="Wall seconds for a program and its tests.", min=0.01)]
Memory = Annotated[int, typer.Option(help="MiB of address space for a program.", min=64)]
Minimum = Annotated[Tier, typer.Option(help="Refuse to execute programs with less isolation than this.")]
Workers = Annotated[int | None, typer.Option(help="Programs executed at a time (default: one a CPU).", min=1)]

SequentialBar = Annotated[
    float | None, typer.Option("--bar", help="Percent. Stop once pass@1 is shown to lie above or below it.")
]

ErrorRate = Annotated[float, typer.Option(help="With --bar: chance of a wrong decision, at most.")]
Spending = Annotated[Rule, typer.Option(help="With --bar: how the test spends its error over the looks.")]
LookEvery = Annotated[int, typer.Option(help="With --bar: problems from one look to the next.", min=1)]


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How programs are executed."""

    timeout_s: float
    memory_mib: int
    minimum_isolation: Tier
    workers: int | None

    def limits(self) -> Limits:
        """Limits at the strongest tier of this machine. Raises ExperimentError where that is less than the minimum."""
        from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
        from refute.engines.humaneval.scoring.execute import Limits

        isolation = require_isolation(Isolation(self.minimum_isolation.value))
        if self.workers is None:
            return Limits(self.timeout_s, isolation, self.memory_mib)
        return Limits(self.timeout_s, isolation, self.memory_mib, self.workers)


@dataclass(frozen=True, slots=True)
class SequentialOptions:
    """The sequential test that ends a run early; without a bar there is none."""

    bar: float | None
    error_rate: float
    spending: Rule
    look_every: int

    def design(self, problems: ProblemSet) -> Design | None:
        """The test of all `problems`. Raises UsageError where it has no sense."""
        from refute.spec.bars.sequential import Design, every

        if self.bar is None:
            return None
        looks = every(self.look_every, len(problems.tasks))
        try:
            return Design(self.bar, self.error_rate, self.spending.value, looks)
        except ValueError as error:
            raise UsageError(f"no such sequential test: {error}", hint="see `refute eval score --help`") from error


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server is, and how patiently it is asked."""

    base_url: str | None
    concurrency: int
    attempts: int
    key_variable: str | None

    def server(self, model: str) -> Server:
        """The server that has `model`. Raises UsageError where the environment lacks its key."""
        from refute.engines.model.server.client import Server

        if self.key_variable is not None and self.key_variable not in os.environ:
            raise UsageError(
                f"there is no environment variable {self.key_variable}", hint="set it to the server's API key"
            )
        key = os.environ.get(self.key_variable or "")
        return Server(self.base_url or "", model, self.concurrency, self.attempts, key=key)
