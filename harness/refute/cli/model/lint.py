"""`refute model lint`: what is wrong with a model before anybody has run it."""

from __future__ import annotations

from dataclasses import asdict

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.model.inspect import Model
from refute.cli.options import Json
from refute.escaping import one_line


def lint(model: Model, as_json: Json = False) -> None:
    """Look for what breaks at a stranger's: files, config, tokenizer, template, card and every weight.

    Exit status 1 where a rule finds an error; warnings and notes are shown.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.lint.lint import RULES, lint_model

    with reading_what_was_named():
        findings = lint_model(model)
    errors = sum(each.severity == "error" for each in findings)
    if as_json:
        print_json({"model": str(model), "errors": errors, "findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            typer.echo(f"{each.severity:5}  {each.rule:28}  {one_line(each.found)}")
            typer.echo(f"{'':35}  {one_line(each.fix)}")
        typer.echo(f"{len(RULES)} rules, {errors} errors, {len(findings) - errors} warnings and notes")
    raise typer.Exit(Status.FAILED if errors else Status.DONE)
