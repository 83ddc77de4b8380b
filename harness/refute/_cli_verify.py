"""What the commands that read verdicts share: options in words, answers for programs, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from refute.errors import RefuteError, StaleVerdictError, UsageError, VerificationError

if TYPE_CHECKING:
    from refute.verification import Verified

USAGE, UNVERIFIABLE, STALE = 2, 4, 5
# Where an error does not name its own.
_CAUSES = {USAGE: "input", UNVERIFIABLE: "unverifiable", STALE: "stale"}

At = Annotated[
    str | None, typer.Option("--at", help="Judge freshness as of this moment, such as 2026-01-31T12:00:00Z.")
]
Threshold = Annotated[int, typer.Option(help="How many different trusted keys must have signed.", min=1)]
MinSequence = Annotated[
    int | None, typer.Option(help="Refuse a verdict with a lower number: a newer one is known.", min=1)
]
MinSpecVersion = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=N", help="Refuse a verdict under an older version of this spec; repeatable."),
]


def exit_status(error: RefuteError) -> int:
    """5 for a verdict that is authentic and does not help, 4 for one not to be trusted, 2 for anything else."""
    if isinstance(error, StaleVerdictError):
        return STALE
    return UNVERIFIABLE if isinstance(error, VerificationError) else USAGE


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


@contextmanager
def answer_in_json(wanted: bool) -> Iterator[None]:
    """Where JSON is wanted, an error also becomes an object on standard output before it ends the command."""
    try:
        yield
    except RefuteError as error:
        if wanted:
            status = exit_status(error)
            cause = getattr(error, "cause", "") or _CAUSES[status]
            shown = {"verified": False, "status": status, "cause": cause}
            typer.echo(json.dumps({**shown, "message": str(error), "hint": error.hint}, indent=1))
        raise


def verified_json(verified: Verified) -> str:
    """An authentic verdict for programs: what it says, what it is about, and what was checked."""
    predicate = verified.predicate
    shown = {
        "verified": True,
        "status": 0,
        "verdict": str(predicate.verdict.ruling),
        "payload_sha256": verified.payload_sha256,
        "release": predicate.release.id,
        "run_class": str(predicate.release.run_class),
        "subject": predicate.subject.model_dump(mode="json"),
        **predicate.identity.model_dump(mode="json"),
        "evaluated_at": predicate.evaluated_at,
        "signer": predicate.signer.model_dump(mode="json"),
        "checks": verified.checks,
    }
    return json.dumps(shown, indent=1)
