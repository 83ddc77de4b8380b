"""Check a signed verdict: who signed it, what it is about, and whether its own records give that verdict again.

What this cannot tell: whether the machine that ran the gate was honest before it signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from refute.attest import (
    canonical_json,
    envelope_signers,
    key_id,
    peek_envelope,
    read_statement,
    verify_envelope,
)
from refute.attest.timestamp import Timestamp
from refute.disk import read_regular
from refute.errors import UnreadableInputError, VerificationError
from refute.judge.predicate.bundle import Bundle, check_projections, read_bundle
from refute.judge.predicate.model import Predicate
from refute.judge.recompute import recompute
from refute.lock.file import read_lock
from refute.lock.state import LockState
from refute.outcome import Ruling
from refute.spec.fields import first_fault
from refute.verify.evidence_check import check_evidence
from refute.verify.freshness import Expected, check_freshness
from refute.verify.model_check import check_model
from refute.verify.timestamps import check_lock_timestamp, check_timestamps


@dataclass(frozen=True, slots=True)
class Verified:
    """An authentic verdict and what was checked about it, in words.

    `seen` says when an RFC 3161 authority saw signatures, by the id of the key that made them.
    """

    predicate: Predicate
    payload_sha256: str
    checks: tuple[str, ...]
    model_compared: bool = False
    seen: Mapping[str, Timestamp] = field(default_factory=dict)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Around the verification of what was read at `path`: an error names the file."""
    try:
        yield
    except VerificationError as error:
        raise type(error)(f"{path}: {error}", hint=error.hint, cause=error.cause) from error


def read_verdict(path: Path) -> bytes:
    """The bytes of a verdict or its bundle. Raises UnreadableInputError, also for what is no file."""
    try:
        return read_regular(path)
    except OSError as error:
        raise UnreadableInputError(
            f"cannot read {path}: {error.strerror or error}", hint="name a verdict.intoto.json, or a bundle of it"
        ) from error


def verify_file(path: Path, trusted_keys: Sequence[bytes], *, at: datetime | None = None) -> Verified:
    """`verify_verdict` of what lies at `path`, whose errors name it. Raises UnreadableInputError, too."""
    envelope = read_verdict(path)
    with naming(path):
        return verify_verdict(envelope, trusted_keys, at=at)


def verify_verdict(
    envelope: bytes,
    trusted_keys: Sequence[bytes],
    *,
    threshold: int = 1,
    model: Path | None = None,
    ignored: Sequence[str] = (),
    store: str | Path | None = None,
    expected_release: str | None = None,
    max_age: timedelta | None = None,
    at: datetime | None = None,
    lock_keys: Sequence[bytes] = (),
    timestamp_roots: Sequence[bytes] = (),
    lock_timestamp_roots: Sequence[bytes] = (),
    timestamps: Sequence[bytes] = (),
    min_sequence: int | None = None,
    min_spec_versions: Mapping[str, int] | None = None,
) -> Verified:
    """Everything that can be established from `envelope`, alone or in a bundle, and what is given beside it.

    `trusted_keys` are PEM public keys, of which `threshold` different ones must have signed. `ignored` are files that
    may have been added to `model` since. Those that are not named here are `freshness.Expected`'s; a verdict that is no
    longer valid at the moment `at` is refused always.
    With `lock_keys` the run must have been pre-registered by one of them; without, a lock is only reported. With
    `lock_timestamp_roots` (PEM certificates) an authority under one of them must have seen that lock before the run
    began. `timestamps` are answers of authorities (DER) about the verdict's signatures, beside those in a Sigstore
    bundle; with `timestamp_roots` there must be one and every one must hold, without they are only reported.

    Raises:
        VerificationError: signature, form, recomputed verdict, projections or evidence do not hold.
        StaleVerdictError: authentic, but about another subject or release, no longer valid, too old or superseded.
    """
    expected = Expected(expected_release, at, max_age, min_sequence, min_spec_versions or {})
    with _stage("envelope"):
        bundle = read_bundle(envelope)
        payload_type, payload = verify_envelope(bundle.verdict, trusted_keys, threshold=threshold)
    with _stage("statement"):
        statement = read_statement(payload_type, payload)
        predicate = _predicate(statement.predicate)
        if (statement.subject_name, statement.subject_sha256) != (predicate.subject.name, predicate.subject.sha256):
            raise VerificationError("the statement's subject is not the predicate's subject")
        stranger = _check_signer(bundle, trusted_keys, predicate)
    checks = ["signed by a trusted key" if threshold == 1 else f"signed by {threshold} different trusted keys"]
    checks += [stranger] if stranger else []
    with _stage("verdict"):
        checks.append(recompute(predicate))
        if predicate.verdict.ruling is not Ruling.NO_GO and not predicate.remeasured:
            checks.append("not remeasured: the judge took the run's own records")
    checks.append(predicate.contained.sentence)
    with _stage("projection"):
        projected = check_projections(bundle, predicate, statement.payload_sha256, trusted_keys, threshold)
        checks += [projected] if projected else []
    checks += [predicate.engine.sentence] if predicate.engine else ["it does not say which refute judged"]
    checks += check_freshness(predicate, expected)
    with _stage("lock"):
        checks.append(_lock(predicate, lock_keys))
        checks += check_lock_timestamp(predicate, lock_timestamp_roots)
    with _stage("timestamp"):
        seen, found = check_timestamps(bundle, trusted_keys, timestamps, timestamp_roots, predicate.evaluated_at)
        checks += found
    with _stage("subject"):
        checks += ["model not compared: give --model"] if model is None else check_model(predicate, model, ignored)
    with _stage("evidence"):
        checks += ["evidence not re-hashed: give --store"] if store is None else check_evidence(predicate, store)
    return Verified(predicate, statement.payload_sha256, tuple(checks), model_compared=model is not None, seen=seen)


def has_signed(key: bytes, verified: Verified, data: bytes) -> bool:
    """Whether the public key (PEM) is of a signer of `verified`, which was read from `data`, named in it or not."""
    named = verified.predicate.signer.key_id == key_id(key)
    return named or bool(envelope_signers(read_bundle(data).verdict, [key]))


@contextmanager
def _stage(cause: str) -> Iterator[None]:
    """Name `cause` in a VerificationError that names none."""
    try:
        yield
    except VerificationError as error:
        error.cause = error.cause or cause
        raise


def _check_signer(bundle: Bundle, trusted_keys: Sequence[bytes], predicate: Predicate) -> str:
    """A remark when the signer that the verdict names is none of the trusted keys that signed it.

    Raises VerificationError when it is certain that this key did not sign at all. Of a Sigstore bundle that never is:
    it holds one signature of perhaps several.
    """
    claimed, signers = predicate.signer.key_id, envelope_signers(bundle.verdict, trusted_keys)
    _, signatures = peek_envelope(bundle.verdict)
    known = len(signatures) == len(signers) or claimed in map(key_id, trusted_keys)
    if claimed not in signers and bundle.sigstore is None and known:
        raise VerificationError(
            f"the verdict names key {claimed[:16]}… as its signer, but was signed by {', '.join(sorted(signers))}",
            cause="signer",
        )
    return "" if claimed in signers else f"the signer that it names, key {claimed[:16]}…, is not among the keys given"


def _predicate(content: object) -> Predicate:
    try:
        return Predicate.model_validate_json(canonical_json(content))  # type: ignore[arg-type]  # parsed JSON
    except ValidationError as error:
        raise VerificationError(f"the predicate is not a verdict: {first_fault(error)}") from error


def _lock(predicate: Predicate, lock_keys: Sequence[bytes]) -> str:
    """Raises VerificationError where a lock of `lock_keys` was demanded and did not hold."""
    found = predicate.verdict.preregistration
    if not lock_keys:
        return (
            f"pre-registration {found.state}: give --lock-key to see whose" if predicate.lock else "not pre-registered"
        )
    if predicate.lock is None:
        raise VerificationError("the run was not pre-registered, and --lock-key demands that it was")
    try:
        signed = read_lock(predicate.lock.envelope.encode("utf-8"), lock_keys)
    except VerificationError as error:
        raise VerificationError(
            f"the lock {predicate.lock.name!a} is not to be trusted: {error}",
            hint="name the public key that signed it with --lock-key",
        ) from error
    if found.state is not LockState.HELD:
        raise VerificationError(f"the lock did not hold: {'; '.join(found.reasons)}")
    return f"pre-registered at {signed.lock.locked_at}, lock {signed.payload_sha256}, signed by key {signed.key_id}"
