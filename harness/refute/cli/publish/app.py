"""`refute publish …`: the commands, one file each."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refute.cli.publish.push import push
from refute.cli.publish.stage import stage

app = typer.Typer(no_args_is_help=True, help="Lay out a judged release as a hub is to hold it, and publish it there.")

# In this order `refute publish --help` lists them.
_COMMANDS: dict[str, Callable[..., None]] = {"stage": stage, "push": push}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
