"""A signed statement over one verdict, with a note: a reviewer approves or rejects, an operator withdraws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    Statement,
    build_statement,
    canonical_json,
    key_id,
    public_pem,
    sign_envelope,
)
from refute.disk import create_file, writing
from refute.errors import UsageError, VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.outcome import Ruling
from refute.spec.fields import Closed, Sha256, first_fault
from refute.spec.policy import RoleName
from refute.verify.verification import Verified

Decision = Literal["approve", "reject", "withdraw"]
SIGN_OFF_TYPE = "https://refute.invalid/sign-off/v1"
# Sign-offs, and the statements of consumers, as `verify.consumer` names them.
FILES = ("sign-off-*.intoto.json", "sign-off-*.sigstore.json", "consumer-*.sigstore.json")
MAX_FILES = 256
# A note of 10,000 characters, escaped and in base64, with certificates and entries of logs around it, fits in.
MAX_BYTES = 256 * 1024
_UTC = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"


class JudgedFacts(Closed):
    """What the verdict said when it was reviewed."""

    ruling: Ruling
    release: str
    subject_sha256: Sha256


class SignOff(Closed):
    """The signed content. The statement's subject is the SHA-256 of the verdict's payload."""

    role: RoleName
    decision: Decision
    note: Annotated[str, Field(pattern=r"\S", max_length=10_000)]
    verdict: JudgedFacts
    signed_at: Annotated[str, Field(pattern=_UTC)]


def facts_of(verified: Verified) -> JudgedFacts:
    """What a sign-off of this verdict repeats, so that it can be read alone."""
    predicate = verified.predicate
    return JudgedFacts(
        ruling=predicate.verdict.ruling, release=predicate.release.id, subject_sha256=predicate.subject.sha256
    )


def sign_off_verdict(
    verified: Verified, key: PrivateKey, *, role: str, decision: Decision, note: str, at: str
) -> bytes:
    """The envelope of a sign-off, made at `at` (RFC 3339, UTC).

    Raises UsageError for the approval of a NO-GO, and for a role or a note that is none.
    """
    facts = facts_of(verified)
    if decision == "approve" and facts.ruling is Ruling.NO_GO:
        raise UsageError(
            "the verdict is NO-GO, and nobody can approve that",
            hint="a known shortfall is accepted by a waiver, before the verdict; see docs/policy.md",
        )
    try:
        content = SignOff(role=role, decision=decision, note=note, verdict=facts, signed_at=at)
    except ValidationError as error:
        raise UsageError(f"this is no sign-off: {first_fault(error)}") from error
    predicate = content.model_dump(mode="json")
    name = f"verdict on {facts.release}"
    payload = build_statement(name, verified.payload_sha256, predicate, predicate_type=SIGN_OFF_TYPE)
    return sign_envelope(payload, PAYLOAD_TYPE, [key])


def parse_sign_off(statement: Statement) -> SignOff:
    """The sign-off in a statement of SIGN_OFF_TYPE. Raises VerificationError if it is not formed as one."""
    try:
        return SignOff.model_validate_json(canonical_json(statement.predicate))
    except ValidationError as error:
        raise VerificationError(f"it is not formed as a sign-off: {first_fault(error)}") from error


def default_path(verdict: Path, role: str, key: PrivateKey, *, sigstore: bool = False) -> Path:
    """Where a sign-off lies so that `refute verify` finds it: beside the verdict, named by role and key."""
    suffix = "sigstore.json" if sigstore else "intoto.json"
    return verdict.parent / f"sign-off-{role}-{key_id(public_pem(key))[:16]}.{suffix}"


def write_sign_off(path: Path, envelope: bytes) -> None:
    """Put the sign-off at `path`. Raises UsageError if something is there, and as `disk.unwritable` says."""
    with writing(path, hint="make room, or name another file with --out"):
        written = create_file(path, envelope, 0o644)
    if not written:
        raise UsageError(
            f"{path} exists already, and a sign-off is never overwritten", hint="choose another with --out"
        )


def statements_in(path: Path, data: bytes) -> dict[str, bytes]:
    """What lies beside the verdict in the bundle `data`, read at `path`, by the name it has in messages."""
    others = read_bundle(data).others
    return {f"{path}, statement {number}": line for number, (_, line) in enumerate(others, start=1)}


def find_sign_offs(verdict: Path) -> tuple[list[Path], list[str]]:
    """Sign-offs and consumers' statements beside a verdict, by name; and in words what is called so and cannot be.

    Raises VerificationError for more files than are read: one of those left out might reject.
    """
    named = sorted(path for pattern in FILES for path in verdict.parent.glob(pattern))
    found = [path for path in named if may_be_sign_off(path)]
    if len(found) > MAX_FILES:
        raise VerificationError(
            f"{len(found)} files beside the verdict are called like sign-offs; at most {MAX_FILES} are read",
            hint="move away those that nobody reviewing this verdict wrote",
            cause="policy",
        )
    odd = [f"does not count: {path.name!a} is no file of at most {MAX_BYTES} bytes" for path in named]
    return found, [text for path, text in zip(named, odd, strict=True) if path not in found]


def may_be_sign_off(path: Path) -> bool:
    """Whether a file lies there, and is not larger than any sign-off."""
    return path.is_file() and path.stat().st_size <= MAX_BYTES
