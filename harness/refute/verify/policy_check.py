"""Hold a verdict that verifies against a policy: who signed, who reviewed, how it came about, who waived what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from refute.attest import envelope_signers
from refute.errors import StaleVerdictError, VerificationError
from refute.judge.verdict import WaiverState
from refute.lock.file import read_lock
from refute.lock.state import LockState
from refute.spec.criteria import parse_spec
from refute.spec.policy import OPERATOR, LoadedPolicy, operator_keys
from refute.verify.sign_off.count import SignOffCount, count_sign_offs
from refute.verify.verification import Verified


def enforce(
    policy: LoadedPolicy,
    envelope: bytes,
    verified: Verified,
    sign_offs: Mapping[str, bytes],
    *,
    given_keys: Sequence[bytes] = (),
) -> Verified:
    """`verified`, which was read from `envelope`, with what was checked under `policy` (everything but its age).

    `sign_offs` are files by the name they have in messages; those that do not count are among the checks, with why.
    `given_keys` are PEM public keys that the caller trusts for verdicts beside those of the policy.

    Raises:
        VerificationError: the policy is not met; every demand that is not met is named.
        StaleVerdictError: only that a specification is older than the policy asks for.
    """
    signers = envelope_signers(envelope, [*given_keys, *operator_keys(policy)])
    barred = signers | {key.id for key in policy.keys_of(OPERATOR)} | {verified.predicate.signer.key_id}
    barred |= envelope_signers(envelope, [key.pem for keys in policy.keys.values() for key in keys])
    count = count_sign_offs(policy, barred, verified, sign_offs)
    unmet = [*_signers(policy, signers), *_verdict(policy, verified), *_waivers(policy, verified)]
    unmet += [*_absent(policy, verified), *_sign_offs(policy, count)]
    outdated = list(_outdated(policy, verified))
    ignored = [f"does not count: {each}" for each in count.ignored]
    if unmet:
        raise VerificationError(_list(policy, [*unmet, *outdated, *ignored]), cause="policy")
    if outdated:
        raise StaleVerdictError(
            _list(policy, outdated), hint="run the gate again under the current specification", cause="spec_version"
        )
    return replace(verified, checks=(*verified.checks, *_met(policy, signers, count), *ignored))


def _signers(policy: LoadedPolicy, signers: frozenset[str]) -> Iterator[str]:
    role = policy.policy.roles.get(OPERATOR)
    trusted = {key.id for key in policy.keys_of(OPERATOR)}
    if role is not None and len(trusted & signers) < role.threshold:
        yield f"signed by {len(trusted & signers)} keys of the role {OPERATOR}, {role.threshold} required"


def _verdict(policy: LoadedPolicy, verified: Verified) -> Iterator[str]:
    ruling = verified.predicate.verdict.ruling
    if ruling not in policy.policy.rulings:
        yield f"the verdict is {ruling}, and only {' or '.join(policy.policy.rulings) or 'none'} will do"
    if policy.policy.require_lock and (fault := _lock_fault(policy, verified)):
        yield fault
    yield from _engine(policy, verified)


def _engine(policy: LoadedPolicy, verified: Verified) -> Iterator[str]:
    engine, asked = verified.predicate.engine, policy.policy
    said = "the verdict does not say which refute judged" if engine is None else engine.sentence
    if asked.engine_as_installed and (engine is None or not engine.as_installed):
        yield f"refute must be as it was installed: {said}"
    if asked.engines and (engine is None or engine.sha256 not in asked.engines):
        yield f"refute must be one of {len(asked.engines)} named engines: {said}"


def _lock_fault(policy: LoadedPolicy, verified: Verified) -> str:
    """What is wrong with the pre-registration, which any of the policy's keys may have signed; empty if nothing is."""
    lock, found = verified.predicate.lock, verified.predicate.verdict.preregistration
    if lock is None:
        return "no lock: the run was not pre-registered"
    if found.state is not LockState.HELD:
        return f"the lock did not hold: {'; '.join(found.reasons)}"
    try:
        read_lock(lock.envelope.encode("utf-8"), [key.pem for keys in policy.keys.values() for key in keys])
    except VerificationError as error:
        return f"the lock was not signed by a key of the policy: {error}"
    return ""


def _absent(policy: LoadedPolicy, verified: Verified) -> Iterator[str]:
    judged = {spec.id for spec in verified.predicate.specs}
    yield from (f"{name} was not judged" for name in sorted(policy.policy.spec_versions) if name not in judged)


def _outdated(policy: LoadedPolicy, verified: Verified) -> Iterator[str]:
    for text in verified.predicate.specs:
        oldest, found = policy.policy.spec_versions.get(text.id, 0), parse_spec(text.text, text.name).version
        if found < oldest:
            yield f"{text.id} was judged in version {found}; version {oldest} or later is required"


def _waivers(policy: LoadedPolicy, verified: Verified) -> Iterator[str]:
    for waiver in verified.predicate.verdict.waivers:
        if waiver.state is WaiverState.APPLIED and waiver.approver not in policy.policy.approvers:
            yield f"{waiver.criterion} was waived by {waiver.approver!a}, whom the policy does not let waive"


def _sign_offs(policy: LoadedPolicy, count: SignOffCount) -> Iterator[str]:
    yield from (f"rejected by {each}" for each in count.rejections)
    for role in policy.policy.demanded_roles:
        found, needed = len(count.approvals.get(role, {})), policy.policy.roles[role].threshold
        if found < needed:
            yield f"approved by {found} keys of the role {role}, {needed} required"


def _met(policy: LoadedPolicy, signers: frozenset[str], count: SignOffCount) -> Iterator[str]:
    yield f"meets the policy {policy.path.name} ({policy.sha256[:12]}…)"
    names = sorted(key.name for key in policy.keys_of(OPERATOR) if key.id in signers)
    if names:
        yield f"signed as {OPERATOR} by {', '.join(names)}"
    for role, keys in sorted(count.approvals.items()):
        yield f"approved as {role} by {', '.join(sorted(keys.values()))}"


def _list(policy: LoadedPolicy, lines: Sequence[str]) -> str:
    return "\n  ".join([f"the verdict does not meet the policy {policy.path}:", *lines])
