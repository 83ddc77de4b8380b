"""P3: temperature, token limit, top-p and seed are echoed by the part that used them, and it used them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from refute.engines.dogfood.called import Build, Called
from refute.engines.dogfood.command_tree import Command
from refute.engines.dogfood.seen import Seen, base_words, judged
from refute.engines.dogfood.strict_json import parsed

_COMMAND: Final = "model run"
_ASKED: Final = {"max_new_tokens": 5, "temperature": 3.0, "top_p": 0.9, "seed": 3}


def settings(build: Build, commands: Sequence[Command]) -> Iterator[Seen]:
    """Every setting as `model run --json` echoes it, and the ids that come of it."""
    command = next((each for each in commands if each.name == _COMMAND), None)
    words = None if command is None else base_words(command)
    if words is None:
        return
    asked = [word for name, value in _ASKED.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    first, other = build.call_all([(*words, *asked, "--json"), (*words, *asked, "--seed", "4", "--json")])
    again = build.again(*words, *asked, "--json")
    echoed = _object(first).get("sampling") or {}
    for name, value in _ASKED.items():
        found = echoed.get(name)
        fault = "" if found == value else f"asked for {value}, echoed {found!r}"
        yield judged(f"{_COMMAND} --{name.replace('_', '-')}", fault, f"echoed as {found!r}")
    ids, same, others = (_object(each).get("ids") or [] for each in (first, again, other))
    too_many = "" if 0 < len(ids) <= _ASKED["max_new_tokens"] else f"{len(ids)} new tokens, asked for 5 at most"
    yield judged("tokens generated", too_many, f"{len(ids)} new tokens")
    fault = "" if ids == same != others else f"seed 3 gave {ids} and {same}, seed 4 {others}"
    yield judged("what a seed decides", fault, "one seed, one answer; another seed, another answer")


def _object(called: Called) -> dict[str, Any]:
    try:
        found = parsed(called.out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
