"""`refute model pull`: a model by its commit, every byte hashed, and what it would be as a teacher."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import Json
from refute.errors import UsageError


def pull(
    source: Annotated[str, typer.Argument(help="hub:ORG/NAME@COMMIT, or a folder or GGUF file that is here.")],
    to: Annotated[Path | None, typer.Option(help="A new folder for what is fetched.")] = None,
    init: Annotated[Path | None, typer.Option(help="The student's init, which must mean the same tokens.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch a model by its commit, hash every file against what the hub states, and say what it needs as a teacher.

    Exit status 1 where the init means other tokens than it.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.pull import pull_model, select_teacher
    from refute.verify.hub_model import parse_hub_name

    named = parse_hub_name(source)
    if (named is None) is not (to is None):
        raise UsageError("--to says where what is fetched goes", hint="give it with hub:ORG/NAME@COMMIT, and only then")
    with reading_what_was_named():
        path = Path(source) if named is None or to is None else pull_model(*named, to)
        found = select_teacher(path, init)
    if as_json:
        print_json(asdict(found))
    else:
        model, gigabytes = found.model, {name: f"{size / 1e9:.2f} GB" for name, size in found.memory.items()}
        typer.echo(f"{path}: {model.architecture}, {model.parameters:,} parameters, licence {model.license}")
        typer.echo(f"{found.files} files, digest {model.root_digest}")
        typer.echo(f"memory as a teacher: {', '.join(f'{name} {size}' for name, size in gigabytes.items())}")
        if init is not None:
            typer.echo(f"vocabulary of {init}: {found.vocabulary_fault or 'the same tokens'}")
    raise typer.Exit(Status.FAILED if found.vocabulary_fault else Status.DONE)
