"""`refute init`: copy the example into a repository: a spec, a release, two falsifiers and evidence to judge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
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

    Raises UsageError also where not all of it can be written: then nothing is.
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
    _write_all(folder, targets)
    return list(targets)


def _write_all(folder: Path, targets: Mapping[Path, bytes]) -> None:
    """Write all of `targets` or none: first beside them, where a full disk or a Ctrl-C does no harm, then in place."""
    path = folder
    try:
        with ExitStack() as undo:
            _make_folders(folder, undo)
            with TemporaryDirectory(dir=folder, prefix=".refute-init-") as staging:
                drafts = {path: Path(staging) / str(number) for number, path in enumerate(targets)}
                for path, draft in drafts.items():
                    draft.write_bytes(targets[path])
                for path, draft in drafts.items():
                    _make_folders(path.parent, undo)
                    path.touch(exist_ok=False)  # unlike a rename, it fails where the name is taken
                    undo.callback(path.unlink)
                    draft.replace(path)
            undo.pop_all()
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; nothing was written",
            hint="make room, or name another folder: an empty one, or one that does not exist yet",
        ) from error


def _make_folders(folder: Path, undo: ExitStack) -> None:
    """Make `folder` and those above it that are missing."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir()
        undo.callback(missing.rmdir)
