"""`refute power`: what the bars of a specification can decide, before anything is measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json
from refute.errors import UsageError
from refute.escaping import one_line


def power(
    specs: Annotated[list[Path], typer.Argument(help="Spec files.")],
    n: Annotated[int | None, typer.Option(min=1, help="Observations, in the place of each bar's own min_n.")] = None,
    as_json: Json = False,
) -> None:
    """Say for each bar on a share how many successes corroborate it, how many falsify it, and what lies between.

    At the observations that the bar asks for (`min_n`), or at --n. Bars on other figures depend on how much these vary.
    """
    from refute.check.power import reaches
    from refute.spec.selection import load_specs

    found = list(reaches([loaded.spec for loaded in load_specs(specs)], n))
    if not found:
        raise UsageError("no bar here is on a share of a known number of observations", hint="name one with --n")
    if as_json:
        print_json({"bars": [asdict(each) for each in found]})
        return
    for each in found:
        typer.echo(one_line(each.sentence()))
