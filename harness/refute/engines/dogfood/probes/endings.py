"""P2: exit status and message never contradict each other, whether a call is right, wrong, or about nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from refute.engines.dogfood.called import Build, Called, Words
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, base_words, judged

_ERROR = "refute: "
# The key that signed in the small place, and one of somebody who signed nothing there.
_OWN_KEY, _OTHERS_KEY = "keys/gate.pub", "keys/ann.pub"
# Who lists verdicts says of each why it does not count.
_NOT_COUNTED = "not counted: "
# A release whose verdict is NO-GO, by the command that judges.
_GATE, _REFUSED = ("gate",), ("--release", "worse.yaml")
# A verdict, or what was looked for: what it says stands on standard output.
_RULINGS = (1, 3)


def endings(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """A call that works, for people and programs, one about what is not there, and one that trusts another's key.

    An option that does not exist is refused before a command is known of: once for all of them.
    """
    if commands and (words := base_words(commands[0])) is not None:
        refused = build.call(*words, "--no-such-option")
        yield judged(
            "an option that does not exist", _fault(refused) or _accepted([refused]), f"status {refused.status}"
        )
    for command in commands:
        words = base_words(command)
        if words is None:
            yield Seen(command.name, "untried", "no call of it is known")
            continue
        absent = _about_nothing(build, command, words)
        as_json = [(*words, "--json")] if _has_json(command) else []
        others = [tuple(map(_others_key, words))] if _OWN_KEY in words else []
        ended = build.call_all([words, *as_json, *([absent] if absent else []), *others])
        wrong = [each for each in ended[1 + len(as_json) :] if _NOT_COUNTED not in each.out + each.err]
        fault = next((f for f in map(_contradiction, ended) if f), "") or _accepted(wrong)
        if as_json and ended[0].status != ended[1].status:
            fault = fault or f"{command.name}: status {ended[0].status}, and {ended[1].status} with --json"
        yield judged(command.name, fault, f"statuses {', '.join(str(each.status) for each in ended)}")
        if command.words == _GATE:
            yield _refusal(build.call(*words, *_REFUSED))


def _refusal(called: Called) -> Seen:
    """A gate that says NO-GO ends in 1, whatever else it does."""
    fault = (
        ""
        if called.status == 1 and "NO-GO: " in called.out
        else f"{called.out.strip()[-200:]!r} and {called.err[-200:]!r}"
    )
    return judged("a NO-GO", fault, f"status {called.status}")


def _about_nothing(build: Build, command: Command, words: Words) -> Words | None:
    """The same call about a file or folder that is nowhere, with --json where it has that."""
    own = len(command.words)
    for place, word in enumerate(words[own:], start=own):
        if (build.place / word).exists():
            as_json = ("--json",) if _has_json(command) else ()
            return (*words[:place], f"absent/{word}", *words[place + 1 :], *as_json)
    return None


def _others_key(word: str) -> str:
    return _OTHERS_KEY if word == _OWN_KEY else word


def _has_json(command: Command) -> bool:
    return any(each.name == "--json" for each in command.options)


def _accepted(ended: Sequence[Called]) -> str:
    fault = next((each for each in ended if each.status == 0), None)
    return "" if fault is None else f"{' '.join(fault.words)}: ended in 0"


def _contradiction(called: Called) -> str:
    if fault := _fault(called):
        return f"{' '.join(called.words)}: {fault}"
    return ""


def _fault(called: Called) -> str:
    """In what status, message and, for programs, the object disagree; empty where they do not."""
    status, said = called.status, called.err.strip()
    tells = any(line.startswith(_ERROR) for line in said.splitlines())
    if status < 0:
        return f"signal {-status} ended it"
    if "Traceback (most recent call last)" in said or "an error that nobody meant" in said:
        return f"an accident: {said[-200:]}"
    if status == 0 and tells:
        return f"status 0 beside {said[:200]!r}"
    if status != 0 and not said and not (status in _RULINGS and called.out.strip()):
        return f"status {status} without a word"
    if called.words[-1] == "--json" and status != 0 and tells:
        return _object_fault(called)
    return ""


def _object_fault(called: Called) -> str:
    try:
        told = json.loads(called.out)
    except ValueError:
        return f"status {called.status}, and standard output is no JSON: {called.out[:80]!r}"
    stated = told.get("status") if isinstance(told, dict) else None
    return "" if stated == called.status else f"status {called.status}, and the object says {stated!r}"
