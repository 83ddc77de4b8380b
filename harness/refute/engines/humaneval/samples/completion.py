"""One completion (a sample of a problem), as every backend hands it over."""

from __future__ import annotations

from dataclasses import dataclass

from refute.spec.experiments.evidence.humaneval import Stop

# What tells samples apart: the task, and the sample's number among its task's.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Completion:
    """What follows a problem's head: `text` without its stop, and why it ended.

    `new_tokens` counts every token decoded, those of the stop included. `stop` is `eos` (a special token),
    `stop` (a stop rule of the protocol) or `length` (truncated at the token budget). `sample` counts a task's
    samples from 0. Where `text` was found in a whole answer of a chat, `answer` is that, and `extraction` says how.
    """

    task_id: str
    text: str
    new_tokens: int
    stop: Stop
    sample: int = 0
    answer: str | None = None
    extraction: str | None = None

    @property
    def key(self) -> Key:
        """The task and the number of the sample."""
        return self.task_id, self.sample
