"""P5: a store is what it was after whoever only reads it, and whole after an import that was killed at any moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from refute.engines.dogfood.called import Build, Called
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, judged
from refute.engines.dogfood.strict_json import parsed

_LIST: Final = ("store", "list", "--json")
_NEW: Final = ("--store", "made")
_IMPORT: Final = ("store", "import", "packed.tar", *_NEW)
_LIST_NEW: Final = ("store", "list", *_NEW, "--json")
# An import is killed at each of its changes to the disk: far more than it makes of one small archive.
_MOST_CHANGES: Final = 100
_CHANGES: Final = frozenset({"open", "os.rename", "os.link", "os.mkdir", "os.remove"})


def cache(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Listing before and after reading, packing and taking in; and after a SIGKILL in the midst of it."""
    if not any(each.words[0] == "store" for each in commands):
        return
    with build.kept() as (call, _):
        before = call(*_LIST).out
        ended = [call("store", "export", "run", "--to", "made.tar"), call("store", "prune", "--dry-run"), call(*_LIST)]
        fault = "" if ended[-1].out == before and before else f"it lists {ended[-1].out!r}, before {before!r}"
        yield judged("store after export and a dry run of prune", fault, "lists what it listed")
        ended = [call(*_IMPORT), call(*_LIST_NEW)]
        fault = "" if _held(ended[-1]) == _keys(before) else f"it holds {_held(ended[-1])}, packed {_keys(before)}"
        yield judged("store that took an archive in", fault, "holds what was packed")
    for number in range(1, _MOST_CHANGES):
        seen = _interrupted(build, number, _keys(before))
        yield seen
        if seen.state == "excused":
            return


def _interrupted(build: Build, number: int, packed: frozenset[str]) -> Seen:
    subject = f"import killed at its change {number} to the disk"
    with build.kept() as (call, _):
        killed = call(*_IMPORT, plant=_dying(build.plant, number))
        if killed.status == 0:
            return Seen(subject, "excused", "it had ended before")
        held = _held(call(*_LIST_NEW))
        again = call(*_IMPORT)
        whole = _held(call(*_LIST_NEW))
    half = "" if held in (frozenset(), packed) else f"half of it is listed as if it were there: {sorted(held)}"
    lost = "" if whole == packed else f"taking it in again ended in {again.status}: {again.err.strip()[-160:]}"
    return judged(subject, half or lost, "nothing half is listed, and taking it in again completes it")


def _dying(plant: Callable[[], None], number: int) -> Callable[[], None]:
    def planted() -> None:
        plant()
        left = [number]

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _CHANGES and any("made" in str(each) for each in arguments[:2]) and _writes(event, arguments):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)

    return planted


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def _held(listed: Called) -> frozenset[str]:
    return _keys(listed.out) if listed.status == 0 else frozenset()


def _keys(text: str) -> frozenset[str]:
    """Evidence that is listed with all of its files."""
    try:
        return frozenset(f"{each['key']}{each['missing'] or ''}" for each in parsed(text)["evidence"])
    except (ValueError, LookupError, TypeError):
        return frozenset({f"no listing: {text[:80]!r}"})
