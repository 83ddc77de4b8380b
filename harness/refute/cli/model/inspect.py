"""`refute model inspect`: what a model is, by its files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json
from refute.escaping import one_line

if TYPE_CHECKING:
    from refute.engines.model.tools.inspect import Inspection

Model = Annotated[Path, typer.Argument(help="A Hugging Face folder or a GGUF file.")]


def inspect(model: Model, as_json: Json = False) -> None:
    """Show what a model is: architecture, sizes, how it is stored, licence, digest. Reads no weight but to hash it."""
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.inspect import inspect_model

    with reading_what_was_named():
        found = inspect_model(model)
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)


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
