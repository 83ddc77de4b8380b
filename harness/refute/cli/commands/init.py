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
    """Scaffold a working example: specs/, falsifiers/, a release, evidence to judge, schemas for editors."""
    written = scaffold(folder)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(_NEXT if folder == Path() else f"cd {folder}\n{_NEXT}")


_GITIGNORE = ".gitignore"


# What refute writes, as .gitignore names it.
_IGNORED = ".refute/"


# Lines of a .gitignore by which it is ignored already.
_IGNORING = (_IGNORED, ".refute", f"/{_IGNORED}", "/.refute")


# Where editors find what a YAML file may say, as the first lines of the example's files name it.
_SCHEMAS = Path("specs") / "schema"


_NEXT = """next:
  pytest --falsifiers           tries to refute the release, and signs a verdict
  refute try answer-accuracy    calls one falsifier where you can see and debug it
  refute check                  finds mistakes in specs, releases and falsifiers without running anything
docs/falsifiers.md of refute says how to write a falsifier of your own"""


def scaffold(folder: Path) -> list[Path]:
    """Write the example below `folder` and return what was written. Never overwrites: raises UsageError first.

    Only a .gitignore that is there gets a line more, where it does not ignore yet what refute writes.

    Raises UsageError also where the folder cannot be written.
    """
    targets = {folder / name: content for name, content in _files().items()}
    taken = [str(target) for target in targets if os.path.lexists(target)]
    if taken:
        raise UsageError(f"these files exist already: {', '.join(taken)}", hint="run `refute init` in an empty folder")
    try:
        for parent in sorted({target.parent for target in targets}):
            parent.mkdir(parents=True, exist_ok=True)
        for target, content in targets.items():
            with target.open("xb") as stream:
                stream.write(content)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return [*targets, *([folder / _GITIGNORE] if ignore_runs(folder) else [])]


def ignore_runs(folder: Path) -> bool:
    """Have git ignore what refute writes: add a line to `folder`/.gitignore, made if need be, unless it says so.

    Returns whether it was added. Raises UsageError where the file cannot be read or written.
    """
    path = folder / _GITIGNORE
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        if any(line.strip() in _IGNORING for line in text.splitlines()):
            return False
        start = "" if not text or text.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{start}{_IGNORED}\n")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return True


def _files() -> dict[Path, bytes]:
    """The example's files by their place, and the schemas that its YAML files name."""
    from refute.check.schemas import schemas

    with as_file(files("refute.cli") / "example") as example:
        sources = sorted(p for p in example.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        found = {path.relative_to(example): path.read_bytes() for path in sources}
    named = b"".join(found.values())
    written = {_SCHEMAS / name: text.encode() for name, text in schemas().items() if f"schema/{name}".encode() in named}
    return found | written


def _unwritable(folder: Path, error: OSError) -> UsageError:
    where = error.filename or folder
    return UsageError(f"cannot write {where}: {error.strerror or error}", hint="run it in an empty folder")
