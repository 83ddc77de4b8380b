"""Options, readers of their values and exit statuses that commands share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.errors import RefuteError, StaleVerdictError, UsageError, VerificationError

NO_GO, WARNED = 1, 3


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


RefuteDir = Annotated[Path, typer.Option("--refute-dir", help="Where runs and evidence are kept.")]


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


def read_file(path: Path) -> bytes:
    """A file named on the command line. Raises UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def read_keys(paths: Sequence[Path]) -> list[bytes]:
    """Public keys named on the command line. Raises UsageError for an unreadable file, VerificationError for no key."""
    from refute.attest import key_id

    found = [(path, read_file(path)) for path in paths]
    for path, pem in found:
        try:
            key_id(pem)
        except VerificationError as error:
            raise VerificationError(
                f"{path}: {error}", hint=error.hint or "give the .pub file", cause="keys"
            ) from error
    return [pem for _, pem in found]


def require_paths(paths: Sequence[Path]) -> None:
    """Raises UsageError for a path named on the command line at which there is nothing."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is nothing at {path}")


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
            print_json({**shown, "message": str(error), "hint": error.hint})
        raise


PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File with the key's passphrase (else $REFUTE_KEY_PASSPHRASE, else you are asked)."),
]


PublicKey = Annotated[Path | None, typer.Option(help="The public half of a key that is named by a URI (PEM).")]
