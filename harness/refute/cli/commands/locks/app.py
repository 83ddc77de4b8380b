"""`refute lock …`: make a lock, which goes without saying, and read one."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from refute.cli.commands.locks.make import lock
from refute.cli.commands.locks.show import show, verify


class _MakesUnlessTold(TyperGroup):
    """`refute lock specs/` is `refute lock make specs/`. A folder of specs called `show` is named as `./show`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words after `refute lock`, with the command that they are of."""
        told = args and args[0] in {*self.commands, "--help"}
        parsed: list[str] = super().parse_args(ctx, args if told else ["make", *args])
        return parsed


app = typer.Typer(cls=_MakesUnlessTold, help="Pre-register a release before its run (`make`, if no command is named).")
app.command("make")(lock)
app.command("show")(show)
app.command("verify")(verify)
