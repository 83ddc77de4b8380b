"""`refute model …`: the commands, one file each."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refute.cli.model.inspect import inspect
from refute.cli.model.lint import lint

app = typer.Typer(no_args_is_help=True, help="Look at a model, try it out and prepare it, before it is published.")

# In this order `refute model --help` lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "inspect": inspect,
    "lint": lint,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
