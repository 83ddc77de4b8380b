"""`refute diff`: two verified verdicts compared; fails where the newer one regressed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.arguments import parse_moment, read_keys
from refute.cli.console import print_document, rich_console
from refute.cli.exit_statuses import Status
from refute.cli.options import At, Json, TrustedKeys


class Format(StrEnum):
    """How a difference is shown."""

    TERMINAL = "terminal"
    MARKDOWN = "md"
    JSON = "json"


def diff(
    old: Annotated[Path, typer.Argument(help="The verdict to compare with: verdict.intoto.json")],
    new: Annotated[Path, typer.Argument(help="The verdict under review.")],
    key: TrustedKeys,
    output_format: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TERMINAL,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Compare two verdicts, both verified first. Ends in 1 if the newer one regressed.

    A regression is: a worse ruling; a worse outcome of a block or warn criterion; a criterion or falsifier that is
    gone; under the same ids a bar that is looser, gone, or not comparable; a criterion that asks for less (severity,
    run class, a wider excuse).
    """
    from refute.report.diff import compare_verdicts, diff_json, diff_markdown, diff_terminal
    from refute.verify.verification import verify_file

    keys = read_keys(key)
    before, after = (verify_file(path, keys, at=parse_moment(at)) for path in (old, new))
    difference = compare_verdicts(
        before.predicate, after.predicate, old_payload=before.payload_sha256, new_payload=after.payload_sha256
    )
    if as_json or output_format is Format.JSON:
        print_document(diff_json(difference))
    elif output_format is Format.MARKDOWN:
        print_document(diff_markdown(difference))
    else:
        diff_terminal(difference, rich_console())
    raise typer.Exit(Status.FAILED if difference.regressions else 0)
