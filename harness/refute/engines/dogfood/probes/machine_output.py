"""P10: what is printed for programs parses, and has the keys and types that the last release's had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from refute.engines.dogfood.called import Build
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, base_words, judged
from refute.engines.dogfood.shapes import difference, last_shapes, shape
from refute.engines.dogfood.strict_json import parsed


def machine_output(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """`--json` of every command that has it."""
    then = last_shapes()
    for name, now in shapes(build, commands).items():
        if isinstance(now, ValueError):
            yield judged(name, f"it is no JSON: {now}", "")
        elif name not in then:
            yield Seen(name, "untried", "the last release has no shape of it")
        else:
            yield judged(name, difference(then[name], now, name), "parses, and has what it had")


def shapes(build: Build, commands: Sequence[Command]) -> dict[str, Any]:
    """By command the shape of what it prints, or the ValueError that reading it raised."""
    calls = {
        each.name: (*words, "--json")
        for each in commands
        if (words := base_words(each)) is not None and any(option.name == "--json" for option in each.options)
    }
    build.call_all(list(calls.values()))
    return {name: _shape(build.call(*words).out) for name, words in calls.items()}


def _shape(out: str) -> Any:
    try:
        return shape(parsed(out))
    except ValueError as error:
        return error
