"""P1: every option changes something that can be observed: a status, a line, a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refute.engines.dogfood.called import Build, Called, Words
from refute.engines.dogfood.command_tree import Command, Option
from refute.engines.dogfood.recipes import BESIDE, UNSEEN, UNTRIED, VALUES
from refute.engines.dogfood.seen import Seen, base_words

# typer's own answer to what it cannot parse: the command has not seen the option then.
_PARSER_REFUSED = ("Usage:", "Invalid value")


# What a command ends in that did what it is for, whatever it found.
_WORKS = (0, 1, 3)
_LEFT_OUT = UNSEEN | UNTRIED.keys()


def flags(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Each option of each command, tried against two calls without it: lines that differ between those say nothing."""
    for command in commands:
        words = base_words(command)
        seen = [Seen(f"{command.name} {each.name}", "excused", "changes its speed alone") for each in command.options]
        if words is None:
            yield from (Seen(each.subject, "untried", "no call of its command is known") for each in seen)
            continue
        tried = [each for each in command.options if not {each.name, f"{command.name} {each.name}"} & _LEFT_OUT]
        build.call_all([call for each in tried for call in _calls(command, each, words)])
        again: dict[Words, Called] = {}
        for option, excused in zip(command.options, seen, strict=True):
            yield excused if option.name in UNSEEN else _tried(build, command, option, words, again)


def _calls(command: Command, option: Option, words: Words) -> tuple[Words, Words]:
    """Without the option, and with it."""
    beside = (*words, *BESIDE.get(f"{command.name} {option.name}", ()))
    return beside, (*beside, option.name, *_value(command, option, words))


def _value(command: Command, option: Option, words: Words) -> Words:
    """Another than the default, and than the call has already."""
    if option.is_flag:
        return ()
    special = VALUES.get(f"{command.name} {option.name}", VALUES.get(option.name))
    if special is not None:
        return special
    if option.choices:
        return tuple(each for each in option.choices if each != option.default and each not in words)[:1]
    return ("3",) if option.kind in ("int", "float") else ("no-such-thing",)


def _tried(build: Build, command: Command, option: Option, words: Words, again: dict[Words, Called]) -> Seen:
    subject = f"{command.name} {option.name}"
    if needed := UNTRIED.get(subject):
        return Seen(subject, "untried", f"it takes {needed}")
    without, with_it = _calls(command, option, words)
    base, tried = build.call(*without), build.call(*with_it)
    if base.status not in _WORKS and tried.status == base.status:
        return Seen(subject, "untried", f"its command ends in {base.status} here: {base.err.strip()[-200:]}")
    if all(mark in tried.err for mark in _PARSER_REFUSED):
        return Seen(subject, "untried", f"{with_it[-1]!r} is no value of it: {tried.err.strip()[-120:]}")
    if without not in again:
        again[without] = build.again(*without)
    change = _change(base, again[without], tried)
    return Seen(subject, "kept" if change else "broken", change or f"{' '.join(with_it)}: ends as it does without")


def _change(base: Called, again: Called, tried: Called) -> str:
    """What `tried` shows that `base` does not, and that is not other in each call; empty for nothing."""
    if tried.status != base.status:
        return f"status {tried.status}, without it {base.status}"
    for name in ("out", "err"):
        lines = [getattr(each, name).splitlines() for each in (base, again, tried)]
        if len(lines[0]) == len(lines[1]) and _lines_differ(*lines):
            return f"other lines on std{name}"
    return _file_change(base, again, tried)


def _lines_differ(base: Sequence[str], again: Sequence[str], tried: Sequence[str]) -> bool:
    if len(tried) != len(base):
        return True
    return any(one != other for one, same, other in zip(base, again, tried, strict=True) if one == same)


def _file_change(base: Called, again: Called, tried: Called) -> str:
    lasting = base.files.keys() & again.files.keys()
    surplus = tried.files.keys() - base.files.keys() if base.files.keys() == again.files.keys() else set()
    if changed := sorted((lasting - tried.files.keys()) | surplus):
        return f"other files: {changed[0]}"
    for name in sorted(lasting):
        if base.files[name] == again.files[name] != tried.files[name]:
            return f"another content of {name}"
    return ""
