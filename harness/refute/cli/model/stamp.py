"""`refute model stamp`: name, author, licence, base model and data sets, written into the model's own files."""

from __future__ import annotations

from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.model.inspect import Model
from refute.cli.options import Json
from refute.escaping import one_line


def stamp(
    model: Model,
    name: Annotated[str | None, typer.Option(help="What the model is called.")] = None,
    author: Annotated[str | None, typer.Option(help="Who made it.")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="Its licence, such as apache-2.0.")] = None,
    base_model: Annotated[str | None, typer.Option(help="ORG/NAME of the model that it was made of.")] = None,
    datasets: Annotated[str | None, typer.Option(help="What it was trained on.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is stated otherwise already.")] = False,
    as_json: Json = False,
) -> None:
    """Write who and whose a model is into config, safetensors or GGUF metadata, and read it back.

    No weight changes a bit, and the digest becomes another: stamp a model before it is judged.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.stamp import stamp_model

    asked = {"name": name, "author": author, "license": licence, "base_model": base_model, "datasets": datasets}
    fields = {field: value for field, value in asked.items() if value is not None}
    with reading_what_was_named():
        stated = stamp_model(model, fields, force=force)
    if as_json:
        print_json(stated)
        return
    for field, value in stated.items():
        typer.echo(f"{field:12} {one_line(value)}")
