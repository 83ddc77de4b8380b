"""P12: who asks for a device that is not there is told so; nothing falls back without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Called
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, base_words, judged

_OPTION: Final = "--device"
_TOLD: Final = re.compile(r"cuda|gpu", re.IGNORECASE)


def cascade(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Every command that takes a device, asked for a GPU where none can be seen."""
    calls = [
        (*words, _OPTION, "cuda")
        for each in commands
        if (words := base_words(each)) is not None and any(option.name == _OPTION for option in each.options)
    ]
    for called in build.call_all(calls):
        yield judged(" ".join(called.words[:2]), _fault(called), f"status {called.status}, and it says why")


def _fault(called: Called) -> str:
    if _TOLD.search(called.err):
        return ""
    return f"asked for cuda, it ended in {called.status} and does not say where it computed: {called.err[-160:]!r}"
