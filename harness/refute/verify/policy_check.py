"""Hold a verdict that verifies against a policy: who signed, reviewed and used it, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from refute.attest import envelope_signers
from refute.errors import StaleVerdictError, VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.judge.verdict import WaiverRuling, WaiverState
from refute.lock.file import read_lock
from refute.lock.state import LockState
from refute.spec.criteria import parse_spec
from refute.spec.fields import moment, utc_text
from refute.spec.policy import CONSUMER, OPERATOR, LoadedPolicy, Policy, operator_keys
from refute.verify.consumer.count import ConsumerCount, Evidence, count_consumers, is_consumers, lacking
from refute.verify.sign_off.count import SignOffCount, count_sign_offs, withdrawals
from refute.verify.verification import Verified


def require_in_force(
    verified: Verified,
    data: bytes,
    policy: LoadedPolicy | None,
    sign_offs: Mapping[str, bytes],
    *,
    given_keys: Sequence[bytes],
    at: datetime | None = None,
) -> Verified:
    """`verified`, which was read from `data`, alone or in a bundle: not withdrawn, and under `policy` if there is one.

    The other arguments are `enforce`'s, and so is what it raises; StaleVerdictError for a withdrawal, too.
    """
    operators = [*given_keys, *(operator_keys(policy) if policy else ())]
    if withdrawn := withdrawals(verified, operators, sign_offs):
        raise StaleVerdictError(
            f"the verdict was withdrawn: {'; '.join(withdrawn)}",
            hint="an older one does not take its place: judge the model again",
            cause="withdrawn",
        )
    if policy is None:
        return verified
    return enforce(policy, read_bundle(data).verdict, verified, sign_offs, given_keys=given_keys, at=at)


def enforce(
    policy: LoadedPolicy,
    envelope: bytes,
    verified: Verified,
    sign_offs: Mapping[str, bytes],
    *,
    given_keys: Sequence[bytes] = (),
    at: datetime | None = None,
) -> Verified:
    """`verified`, which was read from `envelope`, with what was checked under `policy` (everything but its age).

    `sign_offs` are files by the name they have in messages, consumers' statements too; those that do not count are
    among the checks, with why. Whether a consumer's still counts is judged as of the moment `at`, by default now.
    `given_keys` are PEM public keys that the caller trusts for verdicts beside those of the policy.

    Raises:
        VerificationError: the policy is not met; every demand that is not met is named.
        StaleVerdictError: only that a specification is older than the policy asks for.
    """
    signers = envelope_signers(envelope, [*given_keys, *operator_keys(policy)])
    barred = signers | {key.id for key in policy.keys_of(OPERATOR)} | {verified.predicate.signer.key_id}
    barred |= envelope_signers(envelope, [key.pem for keys in policy.keys.values() for key in keys])
    reviews = {name: file for name, file in sign_offs.items() if not is_consumers(file)}
    count = count_sign_offs(policy, barred, verified, reviews)
    consumers = count_consumers(policy, Evidence(verified, envelope, sign_offs, at))
    unmet = [*_signers(policy, signers, verified), *_verdict(policy, verified), *_waivers(policy, verified)]
    unmet += [*_identity(policy.policy, verified), *_absent(policy, verified), *_sign_offs(policy, count)]
    unmet += [fault] if (fault := lacking(policy, consumers)) else []
    outdated = list(_outdated(policy, verified))
    ignored = [f"does not count: {each}" for each in (*count.ignored, *consumers.ignored)]
    if unmet:
        raise VerificationError(_list(policy, [*unmet, *outdated, *ignored]), cause="policy")
    if outdated:
        raise StaleVerdictError(
            _list(policy, outdated), hint="run the gate again under the current specification", cause="spec_version"
        )
    return replace(verified, checks=(*verified.checks, *_met(policy, signers, count, consumers), *ignored))


def key_faults(policy: LoadedPolicy, signers: frozenset[str], verified: Verified) -> Iterator[str]:
    """Of each operator whose key is among `signers`: why what it signed does not count, if it does not."""
    signed = [key for key in policy.keys_of(OPERATOR) if key.id in signers]
    faults = [(key.name, key.fault_at(_signed_at(key.id, verified))) for key in signed]
    yield from (f"the key of {name} {fault}" for name, fault in faults if fault)


def _signers(policy: LoadedPolicy, signers: frozenset[str], verified: Verified) -> Iterator[str]:
    role = policy.policy.roles.get(OPERATOR)
    signed = [key for key in policy.keys_of(OPERATOR) if key.id in signers]
    faults = list(key_faults(policy, signers, verified))
    yield from faults
    valid = len(signed) - len(faults)
    if role is not None and valid < role.threshold:
        yield f"signed by {valid} keys of the role {OPERATOR}, {role.threshold} required"
    if policy.timestamp_roots and verified.seen.keys().isdisjoint(key.id for key in signed):
        yield f"no timestamp: no authority of the policy saw a signature of the role {OPERATOR}"


def _signed_at(key: str, verified: Verified) -> str:
    """When this key signed: by an authority's clock if there is one, else by the signer's."""
    seen = verified.seen.get(key)
    return utc_text(seen.moment) if seen else verified.predicate.evaluated_at


def _identity(policy: Policy, verified: Verified) -> Iterator[str]:
    """What the verdict is of: release, number, run class, texts and code, and whether it was measured twice."""
    predicate = verified.predicate
    release = predicate.release
    if policy.releases is not None and release.id not in policy.releases:
        yield f"the verdict is on release {release.id}, and only {', '.join(policy.releases) or 'none'} will do"
    if policy.run_classes is not None and release.run_class not in policy.run_classes:
        yield f"the run was {release.run_class}, and only {', '.join(policy.run_classes) or 'none'} will do"
    if policy.min_sequence is not None and predicate.identity.sequence < policy.min_sequence:
        yield f"number {predicate.identity.sequence} of its release, {policy.min_sequence} or later required"
    if policy.require_remeasured and not predicate.remeasured:
        yield "not remeasured: the judge took the run's records without measuring again (refute judge --falsifiers)"
    if policy.contained is not None and not predicate.contained.least.reaches(policy.contained):
        yield f"{predicate.contained.sentence}; {policy.contained} or more is required (docs/runner.md)"
    if policy.require_model and not verified.model_compared:
        yield "the model was not compared with the verdict: give --model"
    texts = {text.id: text.sha256 for text in predicate.specs}
    used = {record.uses for record in predicate.records}
    code = {name: each.code_sha256 for name, each in predicate.run.falsifiers.items() if name in used}
    yield from _digests("specification", policy.spec_sha256, texts)
    yield from _digests("falsifier", policy.falsifier_sha256, code)


def _digests(kind: str, required: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name, digest in sorted(required.items()):
        if found.get(name) != digest:
            yield f"{kind} {name} has SHA-256 {found.get(name, 'none: it was not used')[:16]}…, {digest[:16]}… required"


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
    """What is wrong with the pre-registration, which whoever signs or reviews may have signed; empty if none."""
    lock, found = verified.predicate.lock, verified.predicate.verdict.preregistration
    if lock is None:
        return "no lock: the run was not pre-registered"
    if found.state is not LockState.HELD:
        return f"the lock did not hold: {'; '.join(found.reasons)}"
    try:
        own = {role: keys for role, keys in policy.keys.items() if role != CONSUMER}
        read_lock(lock.envelope.encode("utf-8"), [key.pem for keys in own.values() for key in keys])
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
    longest = policy.policy.max_waiver_days
    for waiver in verified.predicate.verdict.waivers:
        if waiver.state is not WaiverState.APPLIED:
            continue
        if waiver.approver not in policy.policy.approvers:
            yield f"{waiver.criterion} was waived by {waiver.approver!a}, whom the policy does not let waive"
        if longest is not None and _lasts(waiver, verified) > timedelta(longest):
            yield f"{waiver.criterion} was waived until {waiver.expires_at}, more than {longest} days after the verdict"


def _lasts(waiver: WaiverRuling, verified: Verified) -> timedelta:
    return moment(waiver.expires_at, "expires_at") - moment(verified.predicate.evaluated_at)


def _sign_offs(policy: LoadedPolicy, count: SignOffCount) -> Iterator[str]:
    yield from count.rejections
    for role in policy.policy.demanded_roles:
        found, needed = len(count.approvals.get(role, {})), policy.policy.roles[role].threshold
        if found < needed:
            yield f"approved by {found} keys of the role {role}, {needed} required"


def _met(policy: LoadedPolicy, signers: frozenset[str], count: SignOffCount, consumers: ConsumerCount) -> Iterator[str]:
    yield f"meets the policy {policy.path.name} ({policy.sha256[:12]}…)"
    names = sorted(key.name for key in policy.keys_of(OPERATOR) if key.id in signers)
    if names:
        yield f"signed as {OPERATOR} by {', '.join(names)}"
    for role, keys in sorted(count.approvals.items()):
        yield f"approved as {role} by {', '.join(sorted(keys.values()))}"
    if consumers.used:
        yield f"used as {CONSUMER} by {', '.join(sorted(consumers.used.values()))}"


def _list(policy: LoadedPolicy, lines: Sequence[str]) -> str:
    return "\n  ".join([f"the verdict does not meet the policy {policy.path}:", *lines])
