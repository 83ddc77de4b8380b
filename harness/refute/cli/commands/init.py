"""`refute init`: copy the example into a repository: a spec, a release, two falsifiers and evidence to judge."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json
from refute.errors import UsageError


def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one without specs/.")] = Path(),
    as_json: Json = False,
) -> None:
    """Scaffold a working example: specs/, falsifiers/, a release, and evidence to judge."""
    written = scaffold(folder)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("next: pytest --falsifiers")


_IGNORED = b".refute/\n"


def scaffold(folder: Path) -> list[Path]:
    """Write the example below `folder` and return what was written. Never overwrites: raises UsageError first.

    Raises UsageError also where the folder cannot be written.
    """
    with as_file(files("refute.cli") / "example") as example:
        sources = sorted(p for p in example.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        targets = {folder / path.relative_to(example): path.read_bytes() for path in sources}
    taken = [str(target) for target in targets if os.path.lexists(target)]
    if taken:
        raise UsageError(f"these files exist already: {', '.join(taken)}", hint="run `refute init` in an empty folder")
    ignore = folder / ".gitignore"
    if not os.path.lexists(ignore):
        targets[ignore] = _IGNORED
    try:
        for parent in sorted({target.parent for target in targets}):
            parent.mkdir(parents=True, exist_ok=True)
        for target, content in targets.items():
            with target.open("xb") as stream:
                stream.write(content)
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or folder}: {error.strerror or error}", hint="run it in an empty folder"
        ) from error
    return list(targets)
