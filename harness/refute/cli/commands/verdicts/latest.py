"""`refute latest`: of all verdicts in a folder, the one that counts for a model."""

from __future__ import annotations

from pathlib import Path
from re import fullmatch
from typing import Annotated

import typer

from refute.cli.arguments import parse_moment, read_keys, require_folders
from refute.cli.console import print_json
from refute.cli.exit_statuses import status_of_ruling
from refute.cli.options import AcceptWarn, At, Json
from refute.errors import UsageError


def latest(
    verdicts: Annotated[Path, typer.Argument(help="A folder with verdicts, sign-offs and withdrawals, however deep.")],
    key: Annotated[list[Path] | None, typer.Option(help="A public key that you trust; repeatable.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy that the verdict must meet; see docs/policy.md.")] = None,
    model: Annotated[Path | None, typer.Option(help="The model folder or file that you have.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="SHA256", help="Or its digest, as a verdict has it.")] = None,
    release: Annotated[str | None, typer.Option(help="The release id, where the model was judged in several.")] = None,
    at: At = None,
    accept_warn: AcceptWarn = False,
    as_json: Json = False,
) -> None:
    """Say which verdict counts for a model: the newest by its number, whatever it says.

    Where that one was withdrawn or has expired none counts, and this ends in 5: an older GO does not take its place;
    where it does not meet the policy, in 4. Else it ends as its verdict does: 0 for GO, 1 for NO-GO, 3 for WARN.
    """
    from refute.attest import model_digest
    from refute.spec.policy import load_policy, trusted_keys
    from refute.verify.latest import Reader, latest_verdict

    if (model is None) == (subject is None):
        raise UsageError("say which model is meant", hint="give --model or --subject, and not both")
    require_folders([verdicts])
    digest = _digest(subject) if model is None else model_digest(model)
    rules, keys = load_policy(policy) if policy else None, read_keys(key or ())
    keys = keys if rules else trusted_keys(None, keys)
    found = latest_verdict(verdicts, Reader(keys, rules, model, parse_moment(at)), digest=digest, release=release)
    predicate = found.verified.predicate
    ruling, number = predicate.verdict.ruling, predicate.identity.sequence
    status = status_of_ruling(ruling, accept_warn=accept_warn)
    if as_json:
        shown = {"verdict": str(ruling), "path": str(found.path), "sequence": number, "others": found.others}
        print_json({"status": int(status), **shown, "payload_sha256": found.verified.payload_sha256})
    else:
        typer.echo(f"{ruling}  {found.path}, number {number} of {predicate.release.id}")
        for line in found.others:
            typer.echo(f"  {line}")
    raise typer.Exit(status)


def _digest(named: str | None) -> str:
    """What --subject names. Raises UsageError for what is no SHA-256: an empty one is about nothing."""
    if named is None or not fullmatch("[0-9a-f]{64}", named):
        raise UsageError(
            f"--subject {named!r} is no SHA-256, expected 64 digits of 0-9 and a-f",
            hint="copy `subject` of a verdict, or give --model",
        )
    return named
