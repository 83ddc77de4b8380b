"""P9: no command is listed that does not do anything, and none is named that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Called
from refute.engines.dogfood.command_tree import Command, commands
from refute.engines.dogfood.seen import Seen, base_words, judged

_UNBUILT: Final = re.compile(r"not (yet )?implemented|not built|coming soon|no such command", re.IGNORECASE)
_NAMED: Final = re.compile(r"`refute ([a-z][a-z-]*)")


def phantoms(build: Build, asked: Sequence[Command]) -> Iterator[Seen]:
    """The help of each command, and a call of it."""
    known = {each.words[0] for each in commands()}
    build.call_all([(*each.words, "--help") for each in asked])
    for command in asked:
        words = base_words(command)
        called = [build.call(*command.words, "--help"), *([] if words is None else [build.call(*words)])]
        fault = _fault(called, known) or _absent(command.told, known, "its help")
        yield judged(command.name, fault, "helps, and does something")


def _fault(called: Sequence[Called], known: set[str]) -> str:
    helped = called[0]
    if helped.status != 0 or not helped.out.strip():
        return f"--help ended in {helped.status} with {len(helped.out)} characters"
    for each in called:
        text = each.out + each.err
        if unbuilt := _UNBUILT.search(text):
            return f"{' '.join(each.words)} says {unbuilt.group()!r}"
        if absent := _absent(text, known, " ".join(each.words)):
            return absent
    return ""


def _absent(text: str, known: set[str], who: str) -> str:
    absent = sorted(set(_NAMED.findall(text)) - known)
    return f"{who} names a command {absent[0]!r}, which there is not" if absent else ""
