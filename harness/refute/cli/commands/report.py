"""`refute report` and `refute diff`: arguments of the commands for reviewers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.options import At, Json, parse_moment, read_file, read_keys

if TYPE_CHECKING:
    from refute.judge.predicate.model import Predicate


REGRESSED = 1


class Format(StrEnum):
    """How a difference is shown."""

    TERMINAL = "terminal"
    MARKDOWN = "md"
    JSON = "json"


def report(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json")],
    key: Annotated[list[Path], typer.Option(help="A public key that you trust; repeatable.")],
    output_format: Annotated[
        str, typer.Option("--format", help="terminal, line, md, html, json or sarif")
    ] = "terminal",
    baseline: Annotated[
        Path | None, typer.Option(help="For sarif: an older verdict, to tell what is new; verified, too.")
    ] = None,
    at: At = None,
    document: Annotated[
        Path | None, typer.Option("--check", help="Compare this report with the verdict, instead of printing one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Render a verdict that verifies; the document is derived from the signed payload alone."""
    from refute.errors import UsageError
    from refute.report import REPORTS, check_report, one_line, report_format
    from refute.report.diff import render_sarif
    from refute.verify.verification import verify_verdict

    keys, moment = read_keys(key), parse_moment(at)
    verified = verify_verdict(read_file(verdict), keys, at=moment)
    predicate, digest = verified.predicate, verified.payload_sha256
    output_format = "json" if as_json else output_format
    if baseline is not None and output_format != "sarif":
        raise UsageError("--baseline is for --format sarif", hint="`refute diff` compares two verdicts for people")
    if document is not None:
        kind = REPORTS[report_format(document.name, sorted(REPORTS))]
        typer.echo(check_report(read_file(document), str(document), kind, predicate, digest))
    elif output_format == "terminal":
        show(predicate, digest)
    elif output_format == "line":
        typer.echo(one_line(predicate, digest))
    elif output_format == "sarif":
        before = None if baseline is None else verify_verdict(read_file(baseline), keys, at=moment).predicate
        typer.echo(render_sarif(predicate, digest, baseline=before, root=Path.cwd()), nl=False)
    elif output_format in REPORTS:
        typer.echo(REPORTS[output_format].render(predicate, digest), nl=False)
    else:
        formats = ", ".join(["terminal", *sorted(REPORTS), "line", "sarif"])
        raise UsageError(f"no format {output_format!r}; there are: {formats}")


def diff(
    old: Annotated[Path, typer.Argument(help="The verdict to compare with: verdict.intoto.json")],
    new: Annotated[Path, typer.Argument(help="The verdict under review.")],
    key: Annotated[list[Path], typer.Option(help="A public key that you trust; repeatable.")],
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
    from refute.verify.verification import verify_verdict

    keys = read_keys(key)
    before, after = (verify_verdict(read_file(path), keys, at=parse_moment(at)) for path in (old, new))
    difference = compare_verdicts(
        before.predicate, after.predicate, old_payload=before.payload_sha256, new_payload=after.payload_sha256
    )
    if as_json or output_format is Format.JSON:
        typer.echo(diff_json(difference), nl=False)
    elif output_format is Format.MARKDOWN:
        typer.echo(diff_markdown(difference), nl=False)
    else:
        from rich.console import Console

        diff_terminal(difference, Console())
    raise typer.Exit(REGRESSED if difference.regressions else 0)


def show(predicate: Predicate, digest: str) -> None:
    """Print a verdict to the console."""
    from rich.console import Console

    from refute.report import render_terminal

    render_terminal(predicate, digest, Console())
