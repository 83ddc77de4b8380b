"""`refute verify`, and what commands that read verdicts share: options in words, answers, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
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


def verify(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json, or verdict.intoto.jsonl")],
    key: Annotated[list[Path] | None, typer.Option(help="A public key that you trust; repeatable.")] = None,
    threshold: Threshold = 1,
    policy: Annotated[
        Path | None, typer.Option(help="Policy: trusted keys by role, sign-offs, age, approvers; see docs/policy.md.")
    ] = None,
    sign_off: Annotated[
        list[Path] | None, typer.Option(help="A sign-off that does not lie beside the verdict; repeatable.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="The model folder or file that you have.")] = None,
    store: Annotated[Path | None, typer.Option(help="An evidence store, to hash its files again.")] = None,
    release: Annotated[str | None, typer.Option(help="The release id that you expect.")] = None,
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="Demand a lock that held, signed by this public key; repeatable.")
    ] = None,
    timestamp_root: Annotated[
        list[Path] | None,
        typer.Option(help="Demand that an RFC 3161 authority under this certificate saw the lock before the run."),
    ] = None,
    max_age_days: Annotated[int | None, typer.Option(help="Refuse an older verdict.", min=0, max=36_500)] = None,
    at: At = None,
    min_sequence: MinSequence = None,
    min_spec_version: MinSpecVersion = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check a verdict's signature, subject, evidence and freshness, and judge its records again.

    Keys to trust come from --key, from --policy, or both: then one of --key must have signed, and the policy be met.
    Exit status 0: authentic, whatever it says. 4: not to be trusted. 5: authentic, but about something else, expired
    or superseded. 2: a file or an option cannot be used.
    """
    from refute.bundle import read_bundle
    from refute.enforcement import enforce, strictest_age, trusted_keys
    from refute.policy_file import load_policy
    from refute.report.escaping import one_line
    from refute.sign_off import find_sign_offs
    from refute.verification import verify_verdict

    with answer_in_json(as_json):
        rules = load_policy(policy) if policy else None
        if sign_off and rules is None:
            raise UsageError(
                "a sign-off means nothing without the policy that says whose it must be", hint="give --policy"
            )
        require_paths([store] if store else [])
        keys, envelope = read_keys(key or ()), read_file(verdict)
        verified = verify_verdict(
            envelope,
            trusted_keys(rules, keys),
            threshold=threshold,
            model=model,
            store=store,
            expected_release=release,
            max_age=strictest_age(rules, None if max_age_days is None else timedelta(days=max_age_days)),
            at=parse_moment(at),
            lock_keys=read_keys(lock_key or ()),
            timestamp_roots=[read_file(path) for path in timestamp_root or []],
            min_sequence=min_sequence,
            min_spec_versions=parse_versions(min_spec_version or ()),
        )
        if rules is not None:
            files = {str(path): read_file(path) for path in (*find_sign_offs(verdict), *(sign_off or ()))}
            verified = enforce(rules, read_bundle(envelope).verdict, verified, files, given_keys=keys)
    if as_json:
        typer.echo(verified_json(verified))
        return
    ruling = verified.predicate.verdict.ruling
    typer.echo(f"authentic: {ruling} for {verified.predicate.release.id}, payload {verified.payload_sha256}")
    for line in verified.checks:
        typer.echo(f"  {one_line(line)}")
    if verified.predicate.signer.development:
        typer.echo("  note: signed with a development key, which vouches for nobody")


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
