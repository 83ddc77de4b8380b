"""What an engine is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Conversation = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen: the likeliest at temperature 0, else drawn by `seed`; `to_the_end`: none that would
    end it is chosen."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 17
    to_the_end: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """New ids and their text, and the seconds that prompt and generation took."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    prompt_s: float
    generation_s: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.prompt_s + self.generation_s


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """Library and version."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with what the model puts before each."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        ...

    def prompt_of(self, conversation: Conversation) -> str:
        """A conversation as its chat template renders it, up to where the answer begins."""
        ...

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        """Go on from `prompt`."""
        ...

    def beside_bare(self, prompt: Sequence[int], sampling: Sampling) -> tuple[Answer, float]:
        """An answer, and the seconds of the engine itself for the same, with nothing of refute in between."""
        ...
