"""`refute review`: who has read which falsifier against its criterion as it is worded now."""

from __future__ import annotations

import getpass
import os
from typing import Annotated

import typer

from refute.cli.arguments import read_specs
from refute.cli.console import print_json
from refute.cli.options import Json, SpecsFolder
from refute.errors import UsageError
from refute.spec.folders import SPECS


def review(
    falsifiers: Annotated[list[str] | None, typer.Argument(help="Ids such as F-EXAMPLE-001.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    by: Annotated[str | None, typer.Option(help="Who has read them (default: your user name).")] = None,
    specs: SpecsFolder = SPECS,
    as_json: Json = False,
) -> None:
    """Record that falsifiers were read against their criteria as these are worded now.

    When a criterion or a bar changes, `refute check` calls its falsifiers suspects until they are reviewed again.
    """
    from refute.check.reviews import REVIEWS, review

    if everything == bool(falsifiers):
        raise UsageError("name falsifiers, or give --all")
    changed = review(specs / REVIEWS, read_specs(specs), tuple(falsifiers or ()), by or _user())
    if as_json:
        print_json({"changed": changed})
        return
    for name in changed:
        typer.echo(name)
    typer.echo(f"{len(changed)} changed in {specs / REVIEWS}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise UsageError(f"user {os.getuid()} has no name here", hint="say who has read them: --by NAME") from error
