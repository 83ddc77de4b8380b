"""What a probe makes of one thing that it looked at, and how commands are called in the small place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from refute.engines.dogfood.called import Build, Called, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.recipes import CALLS

# `untried`: nobody knows how to ask. `excused`: there is nothing to see by its nature.
State = Literal["kept", "broken", "untried", "excused"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One command, option or fact: whether the promise about it was kept, and what was found."""

    subject: str
    state: State
    found: str


Probe = Callable[[Build, Sequence[Command]], Iterator[Seen]]


def judged(subject: str, fault: str, fine: str) -> Seen:
    """Broken for a `fault`, kept without one."""
    return Seen(subject, "broken" if fault else "kept", fault or fine)


def refused(called: Called, sound: Called, subject: str) -> Seen:
    """Kept where `called` was refused for what was planted: the same call about what is `sound` is not."""
    said = (called.err or called.out).strip()
    fault = "it ended in 0" if called.status == 0 else ""
    if not fault and sound.status == called.status:
        fault = f"{' '.join(sound.words)} ends in {sound.status}, too, and nothing is wrong with that"
    return judged(subject, fault, f"status {called.status}: {said[-120:]}")


def base_words(command: Command) -> Words | None:
    """A call of `command` that works in the small place; None where the table has none."""
    following = CALLS.get(command.name)
    return None if following is None else (*command.words, *following)


def base_calls(build: Build, commands: Sequence[Command]) -> list[Called]:
    """The calls of those `commands` that the table knows."""
    return build.call_all([words for each in commands if (words := base_words(each)) is not None])
