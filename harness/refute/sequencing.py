"""`requires_verdict` of a release: other releases that must have been judged GO, and used by somebody else, first.

Checked by digest and key before the first experiment; what was found is cited in the signed verdict.
"""

from __future__ import annotations

from pathlib import Path

from refute.attest import Json, Statement, key_id, read_statement, verify_envelope
from refute.errors import MissingInputsError, RefuteError, RequiredVerdictError, VerificationError
from refute.outcome import Ruling
from refute.predicate import CitedVerdict
from refute.release import ConsumerAttestation, RequiredVerdict
from refute.release_file import LoadedRelease, resolve
from refute.verification import Verified, verify_verdict

KEY_BESIDE = "verifier.pem"
APPROVED = "approve"


def verify_required(release: LoadedRelease) -> tuple[CitedVerdict, ...]:
    """Every verdict that `release` requires, verified. Raises RequiredVerdictError with everything that is wrong."""
    cited: list[CitedVerdict] = []
    faults: list[str] = []
    for demand in release.release.requires_verdict:
        try:
            cited.append(_verify(demand, release))
        except RefuteError as error:
            faults.append(f"{demand.release}: {error}")
    if faults:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        raise RequiredVerdictError(
            f"release {release.release.release!r} may not begin; of the verdicts that it requires:{listing}",
            hint="have those releases judged first, or correct `requires_verdict` in the release file",
        )
    return tuple(cited)


def missing_required(release: LoadedRelease) -> list[str]:
    """What `verify_required` would refuse, as lines for people; empty when it would let the release begin."""
    try:
        verify_required(release)
    except RequiredVerdictError as error:
        return [line.removeprefix("  - ") for line in str(error).splitlines()[1:]]
    return []


def _verify(demand: RequiredVerdict, release: LoadedRelease) -> CitedVerdict:
    file = resolve(release, demand.verdict)
    key = _key(demand, release, file)
    verified = verify_verdict(_read(file, "verdict"), [key], expected_release=demand.release)
    predicate = verified.predicate
    if predicate.verdict.ruling is not Ruling.GO:
        raise VerificationError(f"its verdict is {predicate.verdict.ruling}, expected GO")
    if demand.subject_sha256 not in (None, predicate.subject.sha256):
        raise VerificationError(
            f"its verdict is about subject {predicate.subject.sha256}, expected {demand.subject_sha256}"
        )
    consumer = None if demand.consumer is None else _attested(demand.consumer, release, verified, key_id(key))
    return CitedVerdict(
        release=demand.release,
        payload_sha256=verified.payload_sha256,
        subject_sha256=predicate.subject.sha256,
        key_id=key_id(key),
        consumer_payload_sha256=consumer[0] if consumer else None,
        consumer_key_id=consumer[1] if consumer else None,
    )


def _key(demand: RequiredVerdict, release: LoadedRelease, verdict: Path) -> bytes:
    """The trusted key: the named file, or the one beside the verdict where only its id is pinned."""
    path = resolve(release, demand.key) if demand.key else verdict.with_name(KEY_BESIDE)
    pem = _read(path, "public key")
    if demand.key_id not in (None, key_id(pem)):
        raise VerificationError(f"the key {path} has id {key_id(pem)}, expected {demand.key_id}")
    return pem


def _attested(
    consumer: ConsumerAttestation, release: LoadedRelease, verified: Verified, operator: str
) -> tuple[str, str]:
    """Payload digest and key id of a consumer's approval.

    It is any in-toto statement, signed by the named key, whose subject is the verdict's payload or the verdict's own
    subject, and whose predicate says `"decision": "approve"`. The verdict's signer cannot be the consumer.
    """
    key = _read(resolve(release, consumer.key), "consumer's public key")
    if key_id(key) == operator:
        raise VerificationError("the consumer's key is the key that signed the verdict: that is not independent")
    statement = _approval(_read(resolve(release, consumer.file), "consumer's attestation"), key)
    about = (verified.payload_sha256, verified.predicate.subject.sha256)
    if statement.subject_sha256 not in about:
        raise VerificationError(
            f"the consumer's attestation is about {statement.subject_sha256}, expected the verdict's payload {about[0]}"
            f" or its subject {about[1]}"
        )
    decision: Json = statement.predicate.get("decision")
    if decision != APPROVED:
        raise VerificationError(f"the consumer's decision is {decision!a}, expected {APPROVED!r}")
    return statement.payload_sha256, key_id(key)


def _approval(envelope: bytes, key: bytes) -> Statement:
    try:
        return read_statement(*verify_envelope(envelope, [key]), predicate_type=None)
    except VerificationError as error:
        raise VerificationError(f"the consumer's attestation: {error}", hint=error.hint) from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingInputsError(f"cannot read the {what} {path}: {error.strerror or error}") from error
