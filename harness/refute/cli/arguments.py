"""What arguments name, read: files, keys, specs, moments and versions, with a usage error where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refute.disk import read_regular
from refute.errors import MissingInputsError, UnreadableInputError, UsageError

if TYPE_CHECKING:
    from refute.spec.criteria import Spec


def read_file(path: Path) -> bytes:
    """A file named on the command line. Raises UsageError where it cannot be read."""
    try:
        return read_regular(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def read_keys(paths: Sequence[Path]) -> list[bytes]:
    """Public keys named on the command line. Raises UnreadableInputError for a file that is none."""
    from refute.attest.signing_key import read_public_key

    return [read_public_key(path) for path in paths]


def read_certificates(paths: Sequence[Path]) -> list[bytes]:
    """Certificates (PEM) named on the command line. Raises UsageError for a file that is none."""
    from refute.attest.certificate import load_certificate

    found = []
    for path in paths:
        found.append(read_file(path))
        try:
            load_certificate(found[-1])
        except UsageError as error:
            raise UsageError(f"{path}: {error}", hint=error.hint) from error
    return found


def read_specs(folder: Path) -> list[Spec]:
    """Every spec of a folder. Raises UsageError where there is none, SpecError for faulty files."""
    from refute.spec.folders import where_specs_are
    from refute.spec.selection import load_specs, yaml_files

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of specs", hint=f"give --specs, or {where_specs_are()}")
    paths = yaml_files(folder)
    if not paths:
        raise UsageError(f"{folder} holds no specs")
    return [loaded.spec for loaded in load_specs(paths)]


@contextmanager
def reading_what_was_named() -> Iterator[None]:
    """Around code that reads a release's inputs and a person's alike, where a person named them.

    Raises UnreadableInputError in place of MissingInputsError. Its kinds say more, such as that a package is absent,
    and stay what they are.
    """
    try:
        yield
    except MissingInputsError as error:
        if type(error) is not MissingInputsError:
            raise
        raise UnreadableInputError(str(error), hint=error.hint) from error


def require_paths(paths: Sequence[Path]) -> None:
    """Raises UsageError for a path named on the command line at which there is nothing."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is nothing at {path}")


def require_folders(paths: Sequence[Path]) -> None:
    """Raises UsageError for a path named on the command line at which there is no folder."""
    require_paths(paths)
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is a file, where a folder is expected")


def require_store(named: str | None) -> None:
    """Raises UsageError for a folder named as a store that is none; a URL is looked at when it is opened."""
    if named is not None and "://" not in named:
        require_folders([Path(named)])


def parse_moment(text: str | None) -> datetime | None:
    """The moment that `--at` names. Raises UsageError unless it is RFC 3339 with a time zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it names no time zone")
    except ValueError as error:
        raise UsageError(f"--at {text!r} is no moment: {error}", hint="write it as 2026-01-31T12:00:00Z") from error
    return moment


def parse_versions(texts: Sequence[str]) -> dict[str, int]:
    """Lowest versions by spec id from `ID=N` texts. Raises UsageError for another form, or an id given twice."""
    found: dict[str, int] = {}
    for text in texts:
        spec, _, version = text.partition("=")
        if not spec or not (version.isascii() and version.isdigit() and len(version) < 10) or spec in found:
            raise UsageError(
                f"--min-spec-version {text!r} is not ID=N, or gives an id twice", hint="such as SPEC-DISTILL-001=2"
            )
        found[spec] = int(version)
    return found


def refuse_idle(context: typer.Context, names: Sequence[str], without: str) -> None:
    """Raise UsageError where the command line gives one of the parameters `names`, which do nothing `without` another.

    What somebody asks for is done or refused, and never passed over.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"nothing comes of {options} without {without}", hint=f"add {without}, or leave it out")
