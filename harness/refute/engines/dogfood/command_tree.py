"""The tree of commands as the command line has it: whatever is added there is found here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any, get_args

from refute.engines.dogfood.called import Words

_APP = "refute.cli.app"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a command: how it is written, whether it takes no value, and what values it takes.

    `choices` are all there are, where they are counted; `kind` is `int`, `float` or what else its values are.
    """

    name: str
    is_flag: bool
    required: bool
    kind: str
    choices: tuple[str, ...]
    default: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that can be called: its words behind `refute`, its options in the order of its help, and the help's
    text as it was written: what is shown of it has lost its marks.
    """

    words: Words
    options: tuple[Option, ...]
    told: str = ""

    @property
    def name(self) -> str:
        """Its words as people write them."""
        return " ".join(self.words)


def commands() -> tuple[Command, ...]:
    """Every command that can be called, in the order of the help."""
    return tuple(_below(import_module(_APP).command, ()))


def _below(command: Any, words: Words) -> Iterator[Command]:
    children = getattr(command, "commands", None)
    if children is None:
        options = tuple(_option(each) for each in command.params if each.param_type_name == "option")
        yield Command(words, options, " ".join(each.help or "" for each in (command, *_helped(command))))
        return
    for word, child in children.items():
        yield from _below(child, (*words, word))


def _helped(command: Any) -> list[Any]:
    return [each for each in command.params if hasattr(each, "help")]


def _option(found: Any) -> Option:
    kind = _single(found.type_descriptor.annotation)
    choices = tuple(str(each.value) for each in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()
    name = next((each for each in found.opts if each.startswith("--")), found.opts[0])
    told = getattr(kind, "__name__", str(kind))
    return Option(name, bool(getattr(found, "is_flag", False)), found.required, told, choices, str(found.default))


def _single(kind: Any) -> Any:
    """What one value is, of an option that may be left out or be given several times."""
    inner = [each for each in get_args(kind) if each is not type(None)]
    return _single(inner[0]) if inner else kind
