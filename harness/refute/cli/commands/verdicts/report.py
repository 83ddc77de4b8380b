"""`refute report`: a verdict that verifies, in one of many formats; or the verdicts of a folder, served."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import parse_moment, read_file, read_keys
from refute.cli.console import print_document, print_verdict
from refute.cli.options import At, TrustedKeys
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.verify.verification import Verified


def report(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json; with --serve, a folder")],
    key: TrustedKeys,
    output_format: Annotated[
        str, typer.Option("--format", help="terminal, line, md, html, json or sarif")
    ] = "terminal",
    baseline: Annotated[
        Path | None, typer.Option(help="For html and sarif: an older verdict, to tell what is new; verified, too.")
    ] = None,
    at: At = None,
    document: Annotated[
        Path | None, typer.Option("--check", help="Compare this report with the verdict, instead of printing one.")
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Show the verdicts of a folder in a browser on this machine, until Ctrl-C."),
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="For --serve (default: one that is free).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Render a verdict that verifies; the document is derived from the signed payload alone.

    With --serve, all verdicts below a folder: what each decided, how every measurement moved, any two compared.
    """
    if serve or port is not None:
        one = {"--baseline": baseline, "--at": at, "--check": document, "--json": as_json or None}
        _require_nothing_of_one(serve, [name for name, given in one.items() if given is not None], output_format)
        _serve(verdict, key, port or 0)
        return
    from refute.report import REPORTS, HtmlReport, check_report, report_format, verdict_line
    from refute.verify.verification import verify_file

    keys, moment = read_keys(key), parse_moment(at)
    verified = verify_file(verdict, keys, at=moment)
    predicate, digest = verified.predicate, verified.payload_sha256
    output_format = "json" if as_json else output_format
    if baseline is not None and output_format not in ("html", "sarif"):
        raise UsageError("--baseline is for --format html and sarif", hint="`refute diff` compares two verdicts")
    before = None if baseline is None else verify_file(baseline, keys, at=moment)
    if document is not None:
        kind = REPORTS[report_format(document.name, sorted(REPORTS))]
        typer.echo(check_report(read_file(document), str(document), kind, predicate, digest))
    elif output_format == "terminal":
        print_verdict(predicate, digest)
    elif output_format == "line":
        typer.echo(verdict_line(predicate, digest))
    elif output_format == "sarif":
        print_document(_sarif(verified, before))
    elif before is not None:
        print_document(HtmlReport((before.predicate, before.payload_sha256)).render(predicate, digest))
    elif output_format in REPORTS:
        print_document(REPORTS[output_format].render(predicate, digest))
    else:
        formats = ", ".join(["terminal", *sorted(REPORTS), "line", "sarif"])
        raise UsageError(f"no format {output_format!r}; there are: {formats}")


def _require_nothing_of_one(serve: bool, given: list[str], output_format: str) -> None:
    """Raises UsageError for options of which nothing would come."""
    if not serve:
        raise UsageError("--port is for --serve", hint="add --serve, or leave --port out")
    given += ["--format"] if output_format != "terminal" else []
    if given:
        raise UsageError(f"{', '.join(given)}: for one verdict, and --serve shows many", hint="leave one of them out")


def _serve(folder: Path, key: list[Path], port: int) -> None:
    """Until Ctrl-C, which ends it as it ends every command."""
    from refute.cli.commands.verdicts.history_server import HistoryServer

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="--serve takes one with verdicts in it, such as .refute/runs")
    with HistoryServer(folder, read_keys(key), port) as server:
        typer.echo(f"verdicts in {folder}: {server.address}\nCtrl-C ends it")
        sys.stdout.flush()
        server.serve_forever()


def _sarif(verified: Verified, before: Verified | None) -> str:
    """The verdict as SARIF, told apart from an older one where there is one."""
    from refute.report.diff import render_sarif

    baseline = None if before is None else before.predicate
    return render_sarif(verified.predicate, verified.payload_sha256, baseline=baseline, root=Path.cwd())
