"""`refute verify --policy`: the roles are demanded, the operator reviews nothing, and taking files away never helps."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from enforcing import POLICY, Content, House
from refute.attest import PAYLOAD_TYPE, build_statement, key_id, public_pem, sign_envelope, write_sigstore_bundle
from refute.errors import SpecError, VerificationError
from refute.verify.policy_check import enforce
from refute.verify.sign_off.count import withdrawals


@pytest.mark.slow
def test_an_approval_in_the_role_meets_the_policy(house: House) -> None:
    """And what was checked says who signed and who approved."""
    checks = "\n".join(house.enforce(house.sign_off("ann")).checks)
    assert "signed as operator by gate" in checks
    assert "approved as release-owner by ann" in checks


def test_roles_are_demanded_with_thresholds_over_unique_keys(house: House) -> None:
    """One person twice is one; two are two; a role that is demanded by default is named."""
    roles = POLICY["roles"] | {"release-owner": {"keys": ["ann", "bob"], "threshold": 2}}  # type: ignore[operator]
    again = house.forge("ann", lambda content: content.update(note="again"))
    with pytest.raises(VerificationError, match="approved by 1 keys of the role release-owner, 2 required"):
        house.enforce(house.sign_off("ann"), again, roles=roles)
    house.enforce(house.sign_off("ann"), house.sign_off("bob"), roles=roles)
    with pytest.raises(VerificationError, match="approved by 0 keys of the role security, 1 required"):
        house.enforce(house.sign_off("ann"), sign_off=None)
    house.enforce(house.sign_off("ann"), house.sign_off("cid", "security"), sign_off=None)


def test_an_operator_reviews_nothing(house: House) -> None:
    """Neither the key that signed the verdict nor another of the operator's role; and a key has one role."""
    for operator in ("gate", "gate2"):
        with pytest.raises(VerificationError, match=rf"does not count: '0.json': {operator} signs verdicts and cannot"):
            house.enforce(house.sign_off(operator))
    roles = {"operator": {"keys": ["gate", "gate2"]}, "release-owner": {"keys": ["ann", "gate2"]}}
    with pytest.raises(SpecError, match="the key of 'gate2' has the role 'operator' already; a key has one role"):
        house.enforce(house.sign_off("ann"), roles=roles)


def test_a_signer_that_the_policy_does_not_call_operator_reviews_nothing(house: House) -> None:
    """The caller's own --key is an operator's, too: who signed is what counts, not what a list says."""
    roles = {"release-owner": {"keys": ["gate", "ann"]}}
    policy, envelope = house.policy(roles=roles), house.judged.path.read_bytes()
    given = [public_pem(house.keys["gate"])]
    with pytest.raises(VerificationError, match="approved by 0 keys"):
        enforce(policy, envelope, house.verified, {"s": house.sign_off("gate")}, given_keys=given)
    enforce(policy, envelope, house.verified, {"s": house.sign_off("ann")}, given_keys=given)


def test_a_reviewer_who_signed_the_verdict_reviews_nothing(house: House) -> None:
    """Whether the envelope carries that signature, or the signed content says so after the signature was taken off."""
    predicate = house.judged.predicate
    content: Content = json.loads(predicate.model_dump_json())
    payload = build_statement(predicate.subject.name, predicate.subject.sha256, content)
    both = sign_envelope(payload, PAYLOAD_TYPE, [house.keys["gate"], house.keys["ann"]])
    with pytest.raises(VerificationError, match="ann signs verdicts and cannot review"):
        enforce(house.policy(), both, house.verified, {"s": house.sign_off("ann")})
    signer = predicate.signer.model_copy(update={"key_id": key_id(public_pem(house.keys["ann"]))})
    named = replace(house.verified, predicate=predicate.model_copy(update={"signer": signer}))
    with pytest.raises(VerificationError, match="ann signs verdicts and cannot review"):
        enforce(house.policy(), house.judged.path.read_bytes(), named, {"s": house.sign_off("ann")})


def test_a_rejection_outweighs_approvals(house: House) -> None:
    """Of any trusted reviewer, in whatever role it is written, with its note; of strangers and operators, nothing."""
    for name, role in (("bob", "release-owner"), ("cid", "security"), ("cid", "release-owner"), ("ann", "security")):
        with pytest.raises(VerificationError, match=rf"rejected by {name} as {role}: by {name}"):
            house.enforce(house.sign_off("ann"), house.sign_off(name, role, "reject"))
    for name in ("mallory", "gate2"):
        house.enforce(house.sign_off("ann"), house.sign_off(name, decision="reject"))


def edited_note(house: House) -> bytes:
    """Another note under the same signature."""
    envelope = json.loads(house.sign_off("ann"))
    other = json.loads(house.forge("mallory", lambda content: content.update(note="better")))
    return json.dumps({**envelope, "payload": other["payload"]}).encode()


# What is no approval by a release owner of this verdict, and the words that say so.
WORTHLESS: dict[str, tuple[Callable[[House], bytes], str]] = {
    "unknown key": (lambda house: house.sign_off("mallory"), "signed by no key that the policy trusts"),
    "edited note": (edited_note, "changed after it was signed"),
    "role of another": (lambda house: house.sign_off("cid"), "cid is not trusted as release-owner"),
    "own role": (lambda house: house.sign_off("cid", "security"), "approved by 0 keys of the role release-owner"),
    "role that is none": (lambda house: house.sign_off("ann", "owner"), "ann is not trusted as owner"),
    "operator's role": (lambda house: house.sign_off("ann", "operator"), "ann signs verdicts and cannot review"),
    "another verdict": (
        lambda house: house.forge("ann", lambda content: None, "0" * 64),
        "speaks of another verdict, 0000",
    ),
    "another ruling": (
        lambda house: house.forge("ann", lambda content: content["verdict"].update(ruling="WARN")),
        "approved something else",
    ),
    "another release": (
        lambda house: house.forge("ann", lambda content: content["verdict"].update(release="other")),
        "approved something else",
    ),
    "another subject": (
        lambda house: house.forge("ann", lambda content: content["verdict"].update(subject_sha256="0" * 64)),
        "approved something else",
    ),
    "the verdict itself": (lambda house: house.judged.path.read_bytes(), "expected 'https://refute.invalid/sign-off"),
    "no envelope": (lambda house: b"{}", "must be a string, found nothing"),
    "no JSON": (lambda house: b"\xff", "is not UTF-8"),
}


@pytest.mark.slow
def test_what_is_no_approval_does_not_count(house: House) -> None:
    """It is named with its reason when the policy is not met, and disturbs nobody when it is."""
    for make, words in WORTHLESS.values():
        with pytest.raises(VerificationError, match=words):
            house.enforce(make(house))
        house.enforce(make(house), house.sign_off("bob"))


UNREADABLE: list[Callable[[Content], object]] = [
    lambda content: content.update(decision="Reject"),
    lambda content: content.update(veto=True),
    lambda content: content.pop("note"),
    lambda content: content.update(note=" "),
    lambda content: content.update(signed_at="yesterday"),
]


@pytest.mark.slow
def test_a_reviewers_word_that_cannot_be_read_refuses(house: House) -> None:
    """It may be a rejection: nobody's approval outweighs it. By a stranger, it is nothing."""
    for change in UNREADABLE:
        with pytest.raises(VerificationError, match="signed by ann, but it is not formed as a sign-off"):
            house.enforce(house.sign_off("bob"), house.forge("ann", change))
        house.enforce(house.sign_off("bob"), house.forge("mallory", change))


@pytest.mark.slow
def test_taking_files_away_never_helps(house: House) -> None:
    """Of every set of files without a rejection, each smaller one is met only if the larger is."""
    roles = {"operator": {"keys": ["gate"]}, "release-owner": {"keys": ["ann", "bob", "cid"], "threshold": 2}}
    files = [house.sign_off(name) for name in ("ann", "bob", "cid", "mallory")] + [b"{"]

    def met(chosen: tuple[bytes, ...]) -> bool:
        try:
            house.enforce(*chosen, roles=roles)
        except VerificationError:
            return False
        return True

    sets = [chosen for size in range(6) for chosen in itertools.combinations(files, size)]
    results = {chosen: met(chosen) for chosen in sets}
    assert any(results.values())
    for small, large in itertools.product(sets, sets):
        if set(small) <= set(large):
            assert results[large] or not results[small]


def test_a_rejection_taken_away_leaves_nothing_approved(house: House) -> None:
    """Where everybody's approval is demanded, hiding a rejection does not help: no approval comes in its place."""
    roles = POLICY["roles"] | {"release-owner": {"keys": ["ann", "bob"], "threshold": 2}}  # type: ignore[operator]
    for files in ([house.sign_off("ann"), house.sign_off("bob", decision="reject")], [house.sign_off("ann")]):
        with pytest.raises(VerificationError, match="approved by 1 keys"):
            house.enforce(*files, roles=roles)


# ------------------------------------------------------------------------------------------------ withdrawals, old keys


def test_who_signs_verdicts_may_withdraw_one(house: House) -> None:
    """A withdrawal speaks of one payload and is signed by a key that is trusted for it; from others it is nothing."""
    trusted = [public_pem(house.keys["gate"])]
    own = house.sign_off("gate", "operator", "withdraw")
    assert withdrawals(house.verified, trusted, {"w": own}) == [f"'w' of {_signed_at(own)}: by gate"]
    strangers = {"a": house.sign_off("ann", decision="withdraw"), "b": b"{", "c": house.sign_off("ann")}
    assert withdrawals(house.verified, trusted, strangers) == []
    other = house.forge("gate", lambda content: content.update(decision="withdraw"), "0" * 64)
    assert withdrawals(house.verified, trusted, {"o": other}) == []
    unreadable = house.forge("gate", lambda content: content.update(decision="withdraw", extra=1))
    with pytest.raises(VerificationError, match="'u' is signed by a key that signs verdicts, but it is not formed"):
        withdrawals(house.verified, trusted, {"u": unreadable})
    with pytest.raises(VerificationError, match="ann withdraws what only who signs verdicts can"):
        house.enforce(house.sign_off("ann", decision="withdraw"))


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ({"valid_until": "2020-01-01T00:00:00Z"}, "was valid until 2020-01-01T00:00:00Z, and signed at"),
        ({"valid_from": "2999-01-01T00:00:00Z"}, "was valid from 2999-01-01T00:00:00Z on, and signed at"),
        ({"revoked": True}, "is revoked"),
        ({"valid_from": "2020-01-01T00:00:00Z", "valid_until": "2999-01-01T00:00:00Z"}, ""),
    ],
)
def test_a_key_counts_while_it_is_valid(house: House, window: dict[str, object], fault: str) -> None:
    """An operator's by the time of the verdict, a reviewer's by that of the sign-off."""
    for name, role in (("gate", "operator"), ("ann", "release-owner")):
        roles = {"operator": {"keys": ["gate"]}, "release-owner": {"keys": ["ann"]}}
        policy = house.policy(roles=roles, windows={name: window})
        demands = (policy, house.judged.path.read_bytes(), house.verified, {"s": house.sign_off("ann")})
        if fault:
            with pytest.raises(VerificationError, match=f"the key of {name} {fault}") as caught:
                enforce(*demands)
            assert f"0 keys of the role {role}, 1 required" in str(caught.value)
        else:
            enforce(*demands)


def _signed_at(envelope: bytes) -> str:
    payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return str(payload["predicate"]["signed_at"])


def test_a_sign_off_may_come_in_a_sigstore_bundle(house: House) -> None:
    """It counts as its envelope does, also against the verdict; a bundle that is broken counts as nothing."""
    approval, rejection = (
        write_sigstore_bundle(house.sign_off("ann", decision=each), "") for each in ("approve", "reject")
    )
    house.enforce(approval)
    with pytest.raises(VerificationError, match="rejected by ann"):
        house.enforce(house.sign_off("bob"), rejection)
    with pytest.raises(VerificationError, match=r"does not count: '0.json': the Sigstore bundle has the media type"):
        house.enforce(approval.replace(b"v0.3", b"v0.9"))
