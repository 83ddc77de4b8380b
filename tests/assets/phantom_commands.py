"""Whether a command line of `refute`, as a document or a message writes it, is one that the command tree has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from refute.cli.app import command as refute

_INLINE = re.compile(r"`(refute [^`\n]+)`")
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?:\$ |.venv/bin/)?(refute .*)$", re.MULTILINE)
# Usage writes choices and what may be left out.
_USAGE = str.maketrans("[](){},|;:", " " * 10)


def commands_in(text: str) -> Iterator[str]:
    """Every command line of a Markdown text: in code spans, and lines of fenced blocks, continued ones joined."""
    yield from _INLINE.findall(text)
    for block in _FENCED.findall(text):
        for line in _LINE.findall(block.replace("\\\n", " ")):
            yield line.partition("#")[0]


def phantom(line: str) -> str:
    """What of a command line is not there, a command or an option; empty where all of it is.

    `…` stands for whatever may be there, and so does a first word such as `ARGUMENTS`.
    """
    words = line.translate(_USAGE).split()[1:]
    command: Any = refute
    if words and words[0].isupper():
        return ""
    while words and not words[0].startswith("-") and "…" not in words and hasattr(command, "commands"):
        if "make" in command.commands and words[0] not in command.commands:
            break  # a folder of specs
        try:
            name, found, words = command.resolve_command(typer.Context(command), words)
        except Exception as error:  # noqa: BLE001  # typer brings its own copy of click's errors
            return f"{error}: {line}"
        command = found if name is not None else command
    command = getattr(command, "commands", {}).get("make", command)  # `refute lock` is `refute lock make`
    if "…" in words or command.context_settings.get("ignore_unknown_options"):
        return ""  # what follows `refute gate` is pytest's
    known = {"--help", *(each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts))}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next((f"No such option {each!r}: {line}" for each in given if each not in known), "")
