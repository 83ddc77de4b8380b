"""CHAOS: Ctrl-C ends a long command within two seconds in status 130, and nothing is overwritten without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from refute.engines.dogfood.called import Build, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.recipes import LONG, RENEWED
from refute.engines.dogfood.seen import Seen, base_calls, base_words, judged

_INTERRUPTED: Final = 130
_WITHIN_S: Final = 2.0
# A machine that has much else to do may hold up one call, and not each of these.
_TRIES: Final = 3
_PRECIOUS: Final = "mine, and nobody else's\n"
_ACCIDENT: Final = "an error that nobody meant"
# What every gate adds to, each run under a name of its own.
_OWN: Final = ".refute/"


def chaos(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Every command that works for long, interrupted; every command that makes files, once more over other people's."""
    for command in commands:
        if (more := LONG.get(command.name)) is not None:
            yield _interrupted(build, (*command.words, *more), command.name)
    base_calls(build, commands)
    for command in commands:
        if (words := base_words(command)) is not None and _made(build, build.call(*words).files):
            yield _overwritten(build, command, words)


def _interrupted(build: Build, words: Words, name: str) -> Seen:
    subject, took = f"{name}, interrupted", []
    for _ in range(_TRIES):
        called, seconds = build.interrupted(*words)
        took.append(seconds)
        if called.status != _INTERRUPTED:
            said = called.err.strip()[-120:]
            return judged(subject, f"it ended in {called.status}, expected {_INTERRUPTED}: {said}", "")
        if seconds <= _WITHIN_S:
            break
    slow = f"it took {min(took):.1f} s to end, expected {_WITHIN_S:g}" if min(took) > _WITHIN_S else ""
    return judged(subject, slow, f"status {_INTERRUPTED} after {min(took):.1f} s")


def _overwritten(build: Build, command: Command, words: Words) -> Seen:
    subject = f"{command.name}, over what lies there"
    if reason := RENEWED.get(command.name):
        return Seen(subject, "excused", reason)
    with build.kept() as (call, place):
        for name in _made(build, call(*words).files):
            (place / name).chmod(0o600)
            (place / name).write_text(_PRECIOUS, encoding="utf-8")
        ended = call(*words)
        paths = [place / name for name in _made(build, ended.files)]
        lost = [path.name for path in paths if path.is_file() and path.read_text("utf-8", "replace") != _PRECIOUS]
    fault = f"it overwrote {lost[0]}" if lost else _ACCIDENT if _ACCIDENT in ended.err else ""
    return judged(subject, fault, f"status {ended.status}: {ended.err.strip()[-120:]}")


def _made(build: Build, files: Iterable[str]) -> list[str]:
    """Of files that a call changed those that it made."""
    return [name for name in files if not (build.place / name).exists() and not name.startswith(_OWN)]
