"""`refute model …`: the commands, one file each."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refute.cli.model.ask import bench, run
from refute.cli.model.export import export
from refute.cli.model.inspect import inspect
from refute.cli.model.lint import lint
from refute.cli.model.pull import pull
from refute.cli.model.qa import qa, readiness
from refute.cli.model.stamp import stamp

app = typer.Typer(no_args_is_help=True, help="Look at a model, try it out and prepare it, before it is published.")

# In this order `refute model --help` lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "pull": pull,
    "inspect": inspect,
    "lint": lint,
    "run": run,
    "bench": bench,
    "qa": qa,
    "readiness": readiness,
    "stamp": stamp,
    "export": export,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
