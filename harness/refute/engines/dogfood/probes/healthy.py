"""P11: a model that nothing is wrong with is never called broken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Called, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, judged

_DEFAMING: Final = re.compile(r"garbage|gibberish|broken|corrupt|degenerate|damaged", re.IGNORECASE)
_PROMPT: Final = 'def abc(n):\n    """Double it."""\n'
_RUN: Final = (_PROMPT, "--max-new-tokens", "8", "--threads", "1")
_ASKED: Final[tuple[Words, ...]] = (
    ("model", "lint", "model"),
    ("model", "lint", "model.gguf"),
    ("model", "inspect", "model", "--quality"),
    ("model", "inspect", "model.gguf", "--quality"),
    ("model", "qa", "model", "--beside", "model.gguf", "--threads", "1"),
    ("model", "run", "model", *_RUN),
    ("model", "run", "model.gguf", *_RUN),
)


def healthy(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """A small model that knows its subject, in both formats, by every command that judges a model."""
    asked = [words for words in _ASKED if any(words[:2] == each.words for each in commands)]
    for called in build.call_all(asked):
        yield judged(" ".join(called.words[:3]), _fault(called), f"status {called.status}")


def _fault(called: Called) -> str:
    said = called.out + called.err
    if called.status != 0:
        return f"status {called.status}: {said.strip()[-200:]}"
    found = _DEFAMING.search(said)
    return f"it says {found.group()!r}" if found else ""
