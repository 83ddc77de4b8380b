"""`refute check`: every fault of specs, contracts and reviews, with nothing run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refute.cli.arguments import require_paths
from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import FalsifierFolders, Json
from refute.errors import UsageError
from refute.spec.folders import CONTRACTS, FALSIFIERS, SPECS, folders, where_specs_are


def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Spec files or folders (default: specs).")] = None,
    falsifiers: FalsifierFolders = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option(help="Texts whose ids must be known (default: README.md, ARCHITECTURE.md, docs/ beside specs)."),
    ] = None,
    contract_folders: Annotated[
        list[Path] | None, typer.Option("--contract-folder", help="Folders with contracts (default: contracts).")
    ] = None,
    contracts: Annotated[
        bool,
        typer.Option("--contracts", help="Also run every property of the contracts, on the engines and on mutants."),
    ] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Also show which falsifiers, controls and contracts stand behind a claim.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check specs, releases, falsifiers and contracts against each other. Loads no model.

    With --contracts, HYPOTHESIS_PROFILE=deep tries 300 random examples a property instead of 50.
    """
    from refute.check.matrix import matrix_of
    from refute.check.repository import check_files

    require_paths([*(paths or ()), *(docs or ()), *(contract_folders or ())])
    paths = paths or folders(None, SPECS)
    if not paths:
        raise UsageError(f"there is no {SPECS}/ here", hint=f"name specs or folders of them, or {where_specs_are()}")
    falsifiers = folders(falsifiers, FALSIFIERS)
    contract_folders = folders(contract_folders, CONTRACTS)
    found = check_files(
        paths,
        falsifiers,
        contract_folders,
        documents=docs,
        run_contracts=contracts,
        told=lambda attempt: typer.echo(attempt.line(), err=True),
    )
    rows = matrix_of(paths, falsifiers, contract_folders) if matrix and not found.problems else ()
    if as_json:
        shown = {"matrix": [row.as_json() for row in rows]} if matrix else {}
        print_json({**found.as_json(), **shown})
    else:
        for line in (*(row.line() for row in rows), *found.lines()):
            typer.echo(line)
    raise typer.Exit(Status.FAILED if found.problems else 0)
