"""`refute init`: copy the example into a repository: a spec, a release, two falsifiers and evidence to judge."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from refute.cli.commands.scaffolding.student import judged_files
from refute.cli.console import print_json
from refute.cli.options import Json
from refute.disk import writing
from refute.errors import UsageError


def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one without specs/.")] = Path(),
    student: Annotated[
        Path | None, typer.Option(help="A finished model, a Hugging Face folder or a GGUF file: the gate is about it.")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="What an evaluation tool wrote item by item; give it for each benchmark.")
    ] = None,
    baseline: Annotated[
        list[Path] | None, typer.Option(help="The same of a model that it must not be worse than, by benchmark.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Scaffold a working example: specs/, falsifiers/, a release, evidence to judge, schemas for editors.

    With --student a gate on a model that was trained elsewhere, with --results one on what other tools have measured,
    and nothing to fill in: `refute gate` judges it.
    """
    if baseline and not results:
        raise UsageError("--baseline is compared with --results", hint="name both")
    given = None if student is None and not results else (student, results or [], baseline or [])
    written = scaffold(folder, given)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(f"wrote {path}")
    following = _NEXT if given is None else _NEXT_FOR_STUDENT
    typer.echo(following if folder == Path() else f"cd {folder}\n{following}")


_GITIGNORE = ".gitignore"

# What refute writes, as .gitignore names it.
_IGNORED = ".refute/"

# Lines of a .gitignore by which it is ignored already.
_IGNORING = (_IGNORED, ".refute", f"/{_IGNORED}", "/.refute")

# Where editors find what a YAML file may say, as the first lines of the example's files name it.
_SCHEMAS = Path("specs") / "schema"
_ELSEWHERE = "nothing was written: make room, or name another folder, an empty one or one that does not exist yet"

_NEXT = """next:
  pytest --falsifiers           tries to refute the release, and signs a verdict
  refute try answer-accuracy    calls one falsifier where you can see and debug it
  refute check                  finds mistakes in specs, releases and falsifiers without running anything
docs/falsifiers.md of refute says how to write a falsifier of your own"""


_NEXT_FOR_STUDENT = """next:
  refute model lint MODEL       says within seconds what strangers' libraries would stumble over, and how to mend it
  refute gate                   tries to refute it, and signs a verdict
  refute check                  says what is missing, without running anything
docs/student.md of refute says what is measured, which results are read, and how to name teacher, init and record"""


# A finished model if there is one, results of other tools, and those of a baseline.
Given = tuple[Path | None, Sequence[Path], Sequence[Path]]


def scaffold(folder: Path, given: Given | None = None) -> list[Path]:
    """Write the example, or a gate on what is `given`, below `folder`; return what was written.

    Never overwrites: raises UsageError first.

    Only a .gitignore that is there gets a line more, where it does not ignore yet what refute writes.

    All of it is written or nothing. Raises as `disk.unwritable` says where it cannot.
    """
    found = _files() if given is None else _with_schemas(judged_files(*given, folder))
    targets = {folder / name: content for name, content in found.items()}
    taken = [str(target) for target in targets if os.path.lexists(target)]
    if taken:
        raise UsageError(f"these files exist already: {', '.join(taken)}", hint="run `refute init` in an empty folder")
    with ExitStack() as undo:
        _write_all(folder, targets, undo)
        if not os.path.lexists(folder / _GITIGNORE):
            undo.callback((folder / _GITIGNORE).unlink, missing_ok=True)
        ignored = ignore_runs(folder)
        undo.pop_all()
    return [*targets, *([folder / _GITIGNORE] if ignored else [])]


def _write_all(folder: Path, targets: Mapping[Path, bytes], undo: ExitStack) -> None:
    """Write `targets`: first beside them, where a full disk or a Ctrl-C does no harm, then in place."""
    with writing(folder, hint=_ELSEWHERE):
        _make_folders(folder, undo)
        with TemporaryDirectory(dir=folder, prefix=".refute-init-") as staging:
            drafts = {path: Path(staging) / str(number) for number, path in enumerate(targets)}
            for path, draft in drafts.items():
                with writing(path, hint=_ELSEWHERE):
                    draft.write_bytes(targets[path])
            for path, draft in drafts.items():
                with writing(path, hint=_ELSEWHERE):
                    _make_folders(path.parent, undo)
                    path.touch(exist_ok=False)  # unlike a rename, it fails where the name is taken
                    undo.callback(path.unlink)
                    draft.replace(path)


def _make_folders(folder: Path, undo: ExitStack) -> None:
    """Make `folder` and those above it that are missing."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir()
        undo.callback(missing.rmdir)


def ignore_runs(folder: Path) -> bool:
    """Have git ignore what refute writes: add a line to `folder`/.gitignore, made if need be, unless it says so.

    Returns whether it was added. Raises as `disk.unwritable` says where the file cannot be read or written.
    """
    path = folder / _GITIGNORE
    with writing(path, hint=_ELSEWHERE):
        text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        if any(line.strip() in _IGNORING for line in text.splitlines()):
            return False
        start = "" if not text or text.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{start}{_IGNORED}\n")
    return True


def _files() -> dict[Path, bytes]:
    """The example's files by their place, and the schemas that its YAML files name."""
    with as_file(files("refute.cli") / "example") as example:
        sources = sorted(p for p in example.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return _with_schemas({path.relative_to(example): path.read_bytes() for path in sources})


def _with_schemas(found: dict[Path, bytes]) -> dict[Path, bytes]:
    """`found`, and the schemas that are named there."""
    from refute.check.schemas import schemas

    named = b"".join(found.values())
    written = {_SCHEMAS / name: text.encode() for name, text in schemas().items() if f"schema/{name}".encode() in named}
    return found | written
