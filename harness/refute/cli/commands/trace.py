"""`refute review` and `refute status`: who read which criterion, and where each stands."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json, RefuteDir
from refute.errors import UsageError
from refute.spec.folders import REFUTE_DIR, SPECS, runs_folder

if TYPE_CHECKING:
    from refute.spec.criteria import Spec


Specs = Annotated[Path, typer.Option("--specs", help="The folder of specs.")]


def review(
    falsifiers: Annotated[list[str] | None, typer.Argument(help="Ids such as F-EXAMPLE-001.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    by: Annotated[str | None, typer.Option(help="Who has read them (default: your user name).")] = None,
    specs: Specs = SPECS,
    as_json: Json = False,
) -> None:
    """Record that falsifiers were read against their criteria as these are worded now.

    When a criterion or a bar changes, `refute check` calls its falsifiers suspects until they are reviewed again.
    """
    from refute.check.reviews import REVIEWS, review

    if everything == bool(falsifiers):
        raise UsageError("name falsifiers, or give --all")
    changed = review(specs / REVIEWS, _load(specs), tuple(falsifiers or ()), by or getpass.getuser())
    if as_json:
        print_json({"changed": changed})
        return
    for name in changed:
        typer.echo(name)
    typer.echo(f"{len(changed)} changed in {specs / REVIEWS}")


def status(
    key: Annotated[list[Path] | None, typer.Option(help="A trusted public key (default: the development key).")] = None,
    release: Annotated[str | None, typer.Option(help="Only verdicts on this release id.")] = None,
    specs: Specs = SPECS,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Show every criterion by phase with the signed verdict that discharges it, or what is missing.

    The words come from verified verdicts: planned, corroborated (in a verdict that is not GO or WARN), discharged, or
    the outcome that stands in the way.
    """
    from refute.check.roadmap import roadmap

    found = roadmap(_load(specs), runs_folder(refute_dir), _keys(key), release)
    if as_json:
        print_json(found.as_json())
        return
    width = max(len(place.criterion) for place in found.places)
    for place in sorted(found.places, key=lambda each: each.phase):
        by = f"  {place.release} {place.payload_sha256[:12]} {place.evaluated_at}" if place.payload_sha256 else ""
        line = f"{place.phase}  {place.criterion:{width}}  {place.severity:5}  {place.status:14}{by}"
        typer.echo(line.rstrip())
    for reason in found.refused:
        typer.echo(f"not counted: {reason}", err=True)


def _load(folder: Path) -> list[Spec]:
    from refute.spec.selection import load_specs, spec_files

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of specs", hint="give --specs")
    paths = spec_files([folder])
    if not paths:
        raise UsageError(f"{folder} holds no specs")
    return [loaded.spec for loaded in load_specs(paths)]


def _keys(given: list[Path] | None) -> list[bytes]:
    from refute.attest import default_key_directory

    paths = given or [default_key_directory() / "development.pub"]
    try:
        return [path.read_bytes() for path in paths]
    except OSError as error:
        raise UsageError(
            f"cannot read {error.filename}: {error.strerror or error}", hint="name the public key of your signer: --key"
        ) from error
