"""Sign-off files -> whose decision counts in which role. What does not count is named, with why.

Approvals are demanded, so taking an approval away never helps. A rejection by a trusted reviewer outweighs every
approval for whoever has the file; whoever can delete it can hide it, unless the approval of all is demanded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refute.attest import Statement, envelope_signers, open_envelope, read_statement, verify_envelope
from refute.errors import VerificationError
from refute.escaping import clip
from refute.outcome import Ruling
from refute.spec.policy import CONSUMER, OPERATOR, LoadedPolicy, TrustedKey
from refute.verify.sign_off.statement import SIGN_OFF_TYPE, SignOff, facts_of, parse_sign_off
from refute.verify.verification import Verified

_NOTE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class SignOffCount:
    """Names of approving keys by role (one entry a key), rejections in words, and files that do not count, in words."""

    approvals: dict[str, dict[str, str]] = field(default_factory=dict)
    rejections: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def count_sign_offs(
    policy: LoadedPolicy, operators: frozenset[str], verified: Verified, files: Mapping[str, bytes]
) -> SignOffCount:
    """Count the decisions in `files` on `verified`. Keys whose id is among `operators` approve nothing, in any role.

    Raises VerificationError for a sign-off of this verdict by a trusted key that cannot be read: it may be a rejection.
    """
    trusted = {key.id: key for role in sorted(policy.keys) for key in policy.keys[role]}
    count = SignOffCount()
    for name, data in sorted(files.items()):
        try:
            data = open_envelope(data)
            signers = [trusted[each] for each in sorted(envelope_signers(data, [key.pem for key in trusted.values()]))]
            statement = _statement(data, signers)
        except VerificationError as error:
            count.ignored.append(f"{name!a}: {error}")
            continue
        if statement.subject_sha256 != verified.payload_sha256:
            count.ignored.append(f"{name!a}: speaks of another verdict, {statement.subject_sha256[:16]}…")
            continue
        try:
            sign_off = parse_sign_off(statement)
        except VerificationError as error:
            raise VerificationError(f"{name!a} is signed by {signers[0].name}, but {error}") from error
        for key in signers:
            _enter(sign_off, key, policy, operators, verified, count, name)
    return count


def withdrawals(verified: Verified, operators: Sequence[bytes], files: Mapping[str, bytes]) -> list[str]:
    """What `files` say of the withdrawal of `verified` by keys among `operators` (PEM), in words.

    Raises VerificationError for a sign-off of this verdict by such a key that cannot be read: it may be a withdrawal.
    """
    found: list[str] = []
    for name, data in sorted(files.items()):
        try:
            statement = read_statement(*verify_envelope(open_envelope(data), operators), predicate_type=SIGN_OFF_TYPE)
        except VerificationError:
            continue  # somebody else's: `count_sign_offs` says whose
        if statement.subject_sha256 != verified.payload_sha256:
            continue
        try:
            sign_off = parse_sign_off(statement)
        except VerificationError as error:
            raise VerificationError(f"{name!a} is signed by a key that signs verdicts, but {error}") from error
        if sign_off.decision == "withdraw":
            found.append(f"{name!a} of {sign_off.signed_at}: {clip(sign_off.note, _NOTE_LIMIT)}")
    return found


def _statement(data: bytes, signers: Sequence[TrustedKey]) -> Statement:
    if not signers:
        raise VerificationError("signed by no key that the policy trusts, or changed after it was signed")
    return read_statement(*verify_envelope(data, [signers[0].pem]), predicate_type=SIGN_OFF_TYPE)


def _enter(
    sign_off: SignOff,
    key: TrustedKey,
    policy: LoadedPolicy,
    operators: frozenset[str],
    verified: Verified,
    count: SignOffCount,
    name: str,
) -> None:
    """Put one key's decision where it belongs."""
    reviews = any(key.id == each.id for role in policy.policy.reviewing_roles for each in policy.keys_of(role))
    if sign_off.decision == "reject" and reviews:
        count.rejections.append(f"rejected by {key.name} as {sign_off.role}: {clip(sign_off.note, _NOTE_LIMIT)}")
    elif fault := _not_counted(sign_off, key, policy, operators, verified):
        count.ignored.append(f"{name!a}: {fault}")
    else:
        count.approvals.setdefault(sign_off.role, {})[key.id] = key.name


def _not_counted(
    sign_off: SignOff, key: TrustedKey, policy: LoadedPolicy, operators: frozenset[str], verified: Verified
) -> str:
    """Why an approval, a withdrawal, or an operator's decision, does not count; empty if it does."""
    if sign_off.decision == "withdraw":
        return f"{key.name} withdraws what only who signs verdicts can"
    if key.id in operators or sign_off.role == OPERATOR:
        return f"{key.name} signs verdicts and cannot review them"
    if sign_off.role == CONSUMER:
        return f"{key.name} has to use the model (refute consume): no sign-off stands for that"
    if key.id not in {each.id for each in policy.keys_of(sign_off.role)}:
        return f"{key.name} is not trusted as {sign_off.role}"
    if fault := key.fault_at(sign_off.signed_at):
        return f"the key of {key.name} {fault}"
    if sign_off.verdict != facts_of(verified):
        return f"{key.name} approved something else: ruling, release or subject differ from the verdict's"
    if sign_off.verdict.ruling is Ruling.NO_GO:
        return f"{key.name} approved a NO-GO, which nobody can"
    return ""
