"""Consumers' statements -> who has used the model that a verdict is about. What does not count is named, with why.

Whoever can delete a withdrawal can hide it, as with a reviewer's rejection: who relies on a consumer keeps the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from refute.attest import (
    Statement,
    envelope_signers,
    key_id,
    open_envelope,
    parse_json,
    peek_envelope,
    read_statement,
    verify_envelope,
)
from refute.errors import VerificationError
from refute.escaping import clip
from refute.judge.predicate.bundle import read_bundle
from refute.outcome import Ruling
from refute.spec.fields import moment
from refute.spec.policy import CONSUMER, LoadedPolicy, TrustedKey
from refute.verify.consumer.statement import CONSUMER_TYPE, Consumption, parse_consumption
from refute.verify.freshness import CLOCK_SKEW
from refute.verify.sign_off.statement import SIGN_OFF_TYPE, facts_of
from refute.verify.verification import Verified, has_signed

_NOTE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for or against a consumer: the verdict and its envelope, statements by the name that they have in
    messages, and the moment to judge by, by default now."""

    verified: Verified
    envelope: bytes
    files: Mapping[str, bytes]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """A statement that counts: the digest of its payload, and what it says."""

    payload_sha256: str
    content: Consumption


@dataclass(frozen=True, slots=True)
class ConsumerCount:
    """Names of consumers by the id of their key, and statements that do not count, in words."""

    used: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def is_consumers(data: bytes) -> bool:
    """Whether a file claims to be a consumer's statement: who counts it, and nothing else, is decided by that."""
    try:
        payload, _ = peek_envelope(open_envelope(data))
        content = parse_json(payload, what="the statement")
    except VerificationError:
        return False
    return isinstance(content, dict) and content.get("predicateType") == CONSUMER_TYPE


def count_consumers(policy: LoadedPolicy, evidence: Evidence) -> ConsumerCount:
    """Whose statements among `evidence.files` count as uses by keys of the policy's role `consumer`."""
    keys = {key.id: key for key in policy.keys_of(CONSUMER)}
    count = ConsumerCount()
    for name, data in sorted(evidence.files.items()):
        if not is_consumers(data):
            continue
        try:
            key = _signer(data, keys)
            use = read_use(data, key.pem, evidence)
            if fault := key.fault_at(use.content.signed_at):
                raise VerificationError(f"the key of {key.name} {fault}", cause="consumer_key")
        except VerificationError as error:
            count.ignored.append(f"{name!a}: {error}")
        else:
            count.used[key.id] = key.name
    return count


def lacking(policy: LoadedPolicy, count: ConsumerCount) -> str:
    """How many consumers the policy still demands, in words; empty where it has as many as it wants."""
    role = policy.policy.roles.get(CONSUMER)
    if role is None or len(count.used) >= role.threshold:
        return ""
    return f"used by {len(count.used)} keys of the role {CONSUMER}, {role.threshold} required (refute consume)"


def read_use(data: bytes, key: bytes, evidence: Evidence) -> Use:
    """The use of a verdict's model that the holder of `key` (PEM) states in `data`, an envelope or a Sigstore bundle.

    Raises VerificationError, whose `cause` names in one word what is wrong: `signature`, `consumer_form`,
    `not_independent`, `other_verdict`, `other_model`, `withdrawn`, `failed`, `consumer_time`.
    """
    statement = _statement(data, key)
    if fault := dependence(key, evidence):
        raise VerificationError(fault, hint="who releases a model is no independent consumer", cause="not_independent")
    if statement.subject_sha256 != evidence.verified.payload_sha256:
        raise VerificationError(
            f"it is about another verdict, {statement.subject_sha256[:16]}…, expected"
            f" {evidence.verified.payload_sha256[:16]}…",
            hint="a verdict that was judged again needs a new statement: refute consume",
            cause="other_verdict",
        )
    content = _content(statement)
    _require_same_model(content, evidence.verified)
    _require_use(content)
    _require_time(content, evidence)
    if reason := _withdrawn(key, content, evidence):
        raise VerificationError(f"it was withdrawn: {reason}", cause="withdrawn")
    return Use(statement.payload_sha256, content)


def dependence(key: bytes, evidence: Evidence) -> str:
    """Why who holds `key` (PEM) is no independent consumer, in words: they signed the verdict, or a sign-off on it that
    is among the files; empty where nothing shows it."""
    own, verified = key_id(key), evidence.verified
    if has_signed(key, verified, evidence.envelope):
        return f"the consumer's key {own[:16]}… is a key that signed the verdict: that is not independent"
    for name, data in sorted(evidence.files.items()):
        if _signed_by(data, key, SIGN_OFF_TYPE, verified) is not None:
            return f"the consumer's key {own[:16]}… signed off the verdict, in {name!a}: that is not independent"
    return ""


def evidence_of(verified: Verified, data: bytes, files: Mapping[str, bytes], at: datetime | None = None) -> Evidence:
    """For the verdict `verified` that was read from `data`, alone or in a bundle."""
    return Evidence(verified, read_bundle(data).verdict, files, at)


def _signer(data: bytes, keys: Mapping[str, TrustedKey]) -> TrustedKey:
    signers = envelope_signers(open_envelope(data), [key.pem for key in keys.values()]) if keys else frozenset()
    if not signers:
        raise VerificationError(
            f"signed by no key of the role {CONSUMER}, or changed after it was signed", cause="signature"
        )
    return keys[min(signers)]


def _statement(data: bytes, key: bytes) -> Statement:
    try:
        return read_statement(*verify_envelope(open_envelope(data), [key]), predicate_type=CONSUMER_TYPE)
    except VerificationError as error:
        error.cause = error.cause or "consumer_form"
        raise


def _content(statement: Statement) -> Consumption:
    try:
        return parse_consumption(statement)
    except VerificationError as error:
        error.cause = "consumer_form"
        raise


def _require_same_model(content: Consumption, verified: Verified) -> None:
    facts = facts_of(verified)
    if content.verdict.ruling is Ruling.NO_GO:
        raise VerificationError("it is about a NO-GO, which nobody's use makes good", cause="failed")
    if content.verdict != facts:
        raise VerificationError(
            f"it is about {content.verdict.ruling} for {content.verdict.release}, model"
            f" {content.verdict.subject_sha256[:16]}…, expected {facts.ruling} for {facts.release}, model"
            f" {facts.subject_sha256[:16]}…",
            cause="other_model",
        )


def _require_use(content: Consumption) -> None:
    if content.result == "withdrawn":
        raise VerificationError("it withdraws what its signer said before", cause="withdrawn")
    failed = [
        f"{path.engine} on {path.file!a}: {clip(path.fault, _NOTE_LIMIT)}" for path in content.paths if path.fault
    ]
    if failed:
        raise VerificationError(f"the consumer's use failed: {'; '.join(failed)}", cause="failed")


def _require_time(content: Consumption, evidence: Evidence) -> None:
    now = evidence.at or datetime.now(UTC)
    signed, ends = moment(content.signed_at, "signed_at"), moment(content.valid_until, "valid_until")
    judged = moment(evidence.verified.predicate.evaluated_at)
    fault = ""
    if signed - now > CLOCK_SKEW:
        fault = f"it is dated {content.signed_at}, which lies in the future"
    elif judged - signed > CLOCK_SKEW:
        fault = f"it is dated {content.signed_at}, before the verdict of {evidence.verified.predicate.evaluated_at}"
    elif now >= ends:
        fault = f"it was valid until {content.valid_until}"
    if fault:
        raise VerificationError(fault, hint="have the consumer use the model again", cause="consumer_time")


def _withdrawn(key: bytes, content: Consumption, evidence: Evidence) -> str:
    """Where and why the same key took `content` back, not before it said it; empty where it did not.

    What this key signed about this verdict and nobody can read may be a withdrawal, and is taken for one.
    """
    for name, data in sorted(evidence.files.items()):
        statement = _signed_by(data, key, CONSUMER_TYPE, evidence.verified)
        if statement is None:
            continue
        try:
            other = parse_consumption(statement)
            later = moment(other.signed_at, "signed_at") >= moment(content.signed_at, "signed_at")
        except VerificationError as error:
            return f"perhaps by {name!a}, which cannot be read: {error}"
        if other.result == "withdrawn" and later:
            return f"{name!a} of {other.signed_at}: {clip(other.note, _NOTE_LIMIT)}"
    return ""


def _signed_by(data: bytes, key: bytes, kind: str, verified: Verified) -> Statement | None:
    """The statement of this predicate type about this verdict in `data`, if `key` signed it."""
    try:
        statement = read_statement(*verify_envelope(open_envelope(data), [key]), predicate_type=kind)
    except VerificationError:
        return None
    return statement if statement.subject_sha256 == verified.payload_sha256 else None
