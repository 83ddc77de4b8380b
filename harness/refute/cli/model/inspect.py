"""`refute model inspect`: what a model is, by its files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import Json
from refute.escaping import one_line

if TYPE_CHECKING:
    from refute.engines.model.tools.inspect import Inspection

Model = Annotated[Path, typer.Argument(help="A Hugging Face folder or a GGUF file.")]


def inspect(
    model: Model,
    quality: Annotated[
        bool, typer.Option("--quality", help="0 to 100 in five groups; reads every weight. A group at zero: status 1.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a model is: architecture, sizes, how it is stored, licence, digest. Reads no weight but to hash it."""
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.inspect import inspect_model
    from refute.engines.model.tools.quality import POINTS, measure_quality

    with reading_what_was_named():
        found = inspect_model(model)
        measured = measure_quality(model) if quality else None
    if as_json:
        more = {"quality": {"score": measured.score, "groups": {**measured.groups}}} if measured else {}
        print_json(asdict(found) | more)
    else:
        _show(found)
        if measured:
            groups = ", ".join(f"{group} {points}/{POINTS[group]}" for group, points in measured.groups.items())
            typer.echo(f"{'quality':16} {measured.score} of 100: {groups}")
    if measured and measured.blocked:
        typer.echo(f"without a point: {', '.join(measured.blocked)}; `refute model lint` says why", err=True)
        raise typer.Exit(Status.FAILED)


def _show(found: Inspection) -> None:
    for name, value in asdict(found).items():
        typer.echo(f"{name.replace('_', ' '):16} {_told(value)}")


def _told(value: object) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) else one_line(str(value))
