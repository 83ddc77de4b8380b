"""`refute status`: where each criterion stands, by the signed verdicts that there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import read_keys, read_specs
from refute.cli.console import print_json
from refute.cli.options import Json, RefuteDir, SpecsFolder
from refute.spec.folders import REFUTE_DIR, SPECS, runs_folder

if TYPE_CHECKING:
    from refute.check.roadmap import Roadmap


def status(
    key: Annotated[list[Path] | None, typer.Option(help="A trusted public key (default: the development key).")] = None,
    release: Annotated[str | None, typer.Option(help="Only verdicts on this release id.")] = None,
    specs: SpecsFolder = SPECS,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Show every criterion by phase with the signed verdict that discharges it, or what is missing.

    The words come from verified verdicts: planned, corroborated (in a verdict that is not GO or WARN), discharged, or
    the outcome that stands in the way.
    """
    from refute.check.roadmap import roadmap

    found = roadmap(read_specs(specs), runs_folder(refute_dir), _keys(key), release)
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)


def _show(found: Roadmap) -> None:
    width = max(len(place.criterion) for place in found.places)
    for place in sorted(found.places, key=lambda each: each.phase):
        by = f"  {place.release} {place.payload_sha256[:12]} {place.evaluated_at}" if place.payload_sha256 else ""
        line = f"{place.phase}  {place.criterion:{width}}  {place.severity:5}  {place.status:14}{by}"
        typer.echo(line.rstrip())
    for reason in found.refused:
        typer.echo(f"not counted: {reason}", err=True)


def _keys(given: list[Path] | None) -> list[bytes]:
    from refute.attest import default_key_directory

    return read_keys(given or [default_key_directory() / "development.pub"])
