"""`refute verify`: what a signed verdict is worth to somebody who did not make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import parse_moment, parse_versions, read_certificates, read_file, read_keys, require_store
from refute.cli.commands.groups import grouped
from refute.cli.console import print_json
from refute.cli.exit_statuses import Status, status_of_ruling
from refute.cli.options import At, Json, MinSequence, MinSpecVersion, Threshold
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.outcome import Ruling
    from refute.spec.policy import LoadedPolicy
    from refute.verify.verification import Verified


class Required(StrEnum):
    """What a verdict can be required to say."""

    GO = "GO"


class Accepted(StrEnum):
    """What may stand in the place of a GO that is required."""

    WARN = "WARN"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose word counts."""

    key: Annotated[list[Path] | None, typer.Option(help="A public key that you trust; repeatable.")] = None
    threshold: Threshold = 1
    policy: Annotated[
        Path | None, typer.Option(help="Policy: trusted keys by role, sign-offs, age, approvers; see docs/policy.md.")
    ] = None
    identity: Annotated[
        str | None, typer.Option(help="Whom the certificate in a Sigstore bundle must name: an email or a URI.")
    ] = None
    issuer: Annotated[str | None, typer.Option(help="The OIDC issuer (a URL) of --identity.")] = None
    ca: Annotated[
        list[Path] | None,
        typer.Option(help="Or the certificate (PEM) of an authority of one's own that vouches for it; repeatable."),
    ] = None
    trusted_root: Annotated[
        Path | None, typer.Option(help="Sigstore trusted root (default: that of Sigstore's public instance).")
    ] = None
    sign_off: Annotated[
        list[Path] | None,
        typer.Option(help="A sign-off or consumer's statement that does not lie beside the verdict; repeatable."),
    ] = None

    challenger: Annotated[
        list[Path] | None,
        typer.Option(help="Demand that who holds this public key challenged the verdict and it held; repeatable."),
    ] = None

    def keys(self, data: bytes, timestamp_roots: Sequence[bytes], at: datetime | None) -> list[bytes]:
        """The keys that are named, and the one in the certificate of `data` that is shown to be of the identity."""
        named, by_sigstore = read_keys(self.key or ()), self.issuer or self.trusted_root
        if self.identity is None and (given := by_sigstore or self.ca):
            raise UsageError(f"{_first(given)} says who vouches for an identity", hint="add --identity")
        if self.identity is None:
            return named
        if by_sigstore and self.ca:
            raise UsageError("--issuer and --ca are two who vouch for one identity", hint="name one of them")
        if self.ca:
            from refute.attest.certificate import CertifiedName
            from refute.verify.identities import key_of_certified

            trusted = CertifiedName(self.identity, tuple(read_certificates(self.ca)))
            return [*named, key_of_certified(data, trusted, timestamp_roots=timestamp_roots, at=at)]
        from refute.attest.keyless import Identity, key_of_identity

        return [*named, key_of_identity(data, Identity(self.identity, self.issuer or ""), self.trusted_root)]

    def rules(self, data: bytes, at: datetime | None) -> LoadedPolicy | None:
        """The policy, as it reads for `data` at that moment. Raises UsageError for sign-offs without one."""
        from refute.spec.policy import load_policy
        from refute.verify.identities import with_identities

        if self.sign_off and self.policy is None:
            raise UsageError(
                "a sign-off means nothing without the policy that says whose it must be", hint="give --policy"
            )
        return with_identities(load_policy(self.policy), data, at=at) if self.policy else None


def _first(given: str | Path | list[Path]) -> str | Path:
    return given[0] if isinstance(given, list) else given


@dataclass(frozen=True, slots=True)
class About:
    """What the verdict must be about, and rest on."""

    model: Annotated[
        str | None, typer.Option(help="The model folder or file that you have, or hub:ORG/NAME@COMMIT.")
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A file that may have been added to the model since; repeatable."),
    ] = None
    store: Annotated[
        str | None, typer.Option(help="An evidence store, a folder or a URL, to hash its files again.")
    ] = None
    release: Annotated[str | None, typer.Option(help="The release id that you expect.")] = None
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="Demand a lock that held, signed by this public key; repeatable.")
    ] = None
    timestamp_root: Annotated[
        list[Path] | None,
        typer.Option(
            help="Demand that an RFC 3161 authority under this certificate saw the lock before the run, and the"
            " verdict when it was signed."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How new it must be."""

    max_age_days: Annotated[int | None, typer.Option(help="Refuse an older verdict.", min=0, max=36_500)] = None
    at: At = None
    min_sequence: MinSequence = None
    min_spec_version: MinSpecVersion = None

    @property
    def max_age(self) -> timedelta | None:
        """The age, as a span of time."""
        return None if self.max_age_days is None else timedelta(days=self.max_age_days)


@dataclass(frozen=True, slots=True)
class Ending:
    """Which verdict ends well."""

    require: Annotated[
        Required | None, typer.Option("--require", help="Fail unless the verdict is GO: 1 for NO-GO, 3 for WARN.")
    ] = None
    accept: Annotated[
        Accepted | None, typer.Option("--accept", help="With --require GO: WARN is good enough, too.")
    ] = None

    def check(self) -> None:
        """Raises UsageError for options that make no sense together."""
        if self.accept is not None and self.require is None:
            raise UsageError("--accept says what may stand in the place of a required GO", hint="add --require GO")

    def status(self, ruling: Ruling) -> Status:
        """The status of an authentic verdict."""
        if self.require is None:
            return Status.DONE
        return status_of_ruling(ruling, accept_warn=self.accept is not None)


@grouped
def verify(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json, or a bundle: .intoto.jsonl, .sigstore.json")],
    trust: Trust,
    about: About,
    fresh: Freshness,
    ending: Ending,
    as_json: Json = False,
) -> None:
    """Check a verdict's signature, subject, evidence and freshness, and judge its records again.

    Keys to trust come from --key, from --policy, or both: then one of --key must have signed, and the policy be met.
    Exit status 0: authentic, whatever it says, unless --require GO is given. 4: not to be trusted. 5: authentic, but
    about something else, expired or superseded. 2: a file or an option cannot be used.
    """
    ending.check()
    verified = _verified(verdict, trust, about, fresh)
    status = ending.status(verified.predicate.verdict.ruling)
    if as_json:
        print_json(_as_json(verified, status))
    else:
        _show(verified)
    raise typer.Exit(status)


def _verified(verdict: Path, trust: Trust, about: About, fresh: Freshness) -> Verified:
    """The verdict, once it meets all that was asked for."""
    from refute.spec.policy import strictest_age, trusted_keys
    from refute.verify.hub_model import locate_model
    from refute.verify.timestamps import find_timestamps
    from refute.verify.verification import naming, verify_verdict

    require_store(about.store)
    envelope, roots, at = read_file(verdict), read_certificates(about.timestamp_root or ()), parse_moment(fresh.at)
    with naming(verdict):
        rules, keys = trust.rules(envelope, at), trust.keys(envelope, roots, at)
    with naming(verdict):
        verified = verify_verdict(
            envelope,
            trusted_keys(rules, keys),
            threshold=trust.threshold,
            model=None if about.model is None else locate_model(about.model),
            ignored=about.ignore or (),
            store=about.store,
            expected_release=about.release,
            max_age=strictest_age(rules, fresh.max_age),
            at=at,
            lock_keys=read_keys(about.lock_key or ()),
            timestamp_roots=[*roots, *(rules.timestamp_roots if rules else ())],
            lock_timestamp_roots=roots,
            timestamps=find_timestamps(verdict),
            min_sequence=fresh.min_sequence,
            min_spec_versions=parse_versions(fresh.min_spec_version or ()),
        )
    held = _held(verdict, envelope, verified, trust.sign_off or (), rules, keys, at)
    if not trust.challenger:
        return held
    from refute.verify.challenge.demand import demand_challenges

    challenged = demand_challenges(verdict, verified, read_keys(trust.challenger))
    return replace(held, checks=(*held.checks, *challenged))


def _held(
    verdict: Path,
    envelope: bytes,
    verified: Verified,
    sign_offs: Sequence[Path],
    rules: LoadedPolicy | None,
    keys: Sequence[bytes],
    at: datetime | None,
) -> Verified:
    """The verdict under the policy, with its sign-offs and its consumers' statements.

    Raises StaleVerdictError where it was withdrawn.
    """
    from refute.verify.policy_check import require_in_force
    from refute.verify.sign_off.statement import find_sign_offs, statements_in

    beside, odd = find_sign_offs(verdict)
    files = {str(path): read_file(path) for path in (*beside, *sign_offs)} | statements_in(verdict, envelope)
    held = require_in_force(verified, envelope, rules, files, given_keys=keys, at=at)
    return replace(held, checks=(*held.checks, *odd)) if rules else held


def _show(verified: Verified) -> None:
    """An authentic verdict for people: what it says, and what was checked."""
    from refute.escaping import one_line

    ruling = verified.predicate.verdict.ruling
    typer.echo(f"authentic: {ruling} for {verified.predicate.release.id}, payload {verified.payload_sha256}")
    for line in verified.checks:
        typer.echo(f"  {one_line(line)}")
    if verified.predicate.signer.development:
        typer.echo("  note: signed with a development key, which vouches for nobody")


def _as_json(verified: Verified, status: Status) -> dict[str, object]:
    """An authentic verdict for programs: what it says, what it is about, and what was checked."""
    predicate = verified.predicate
    return {
        "verified": True,
        "status": int(status),
        "verdict": str(predicate.verdict.ruling),
        "payload_sha256": verified.payload_sha256,
        "release": predicate.release.id,
        "run_class": str(predicate.release.run_class),
        "subject": predicate.subject.model_dump(mode="json"),
        **predicate.identity.model_dump(mode="json"),
        "evaluated_at": predicate.evaluated_at,
        "remeasured": predicate.remeasured,
        "contained": predicate.contained.model_dump(mode="json"),
        "signer": predicate.signer.model_dump(mode="json"),
        "checks": verified.checks,
    }
