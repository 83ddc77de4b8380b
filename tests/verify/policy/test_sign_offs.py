"""`refute verify --policy`: the roles are demanded, the operator reviews nothing, and taking files away never helps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from enforcing import POLICY, Content, House
from refute.attest import PAYLOAD_TYPE, build_statement, key_id, public_pem, sign_envelope
from refute.errors import VerificationError
from refute.verify.policy_check import enforce


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
    """Neither the key that signed the verdict, listed as a reviewer as it is, nor another of the operator's role."""
    roles = {"operator": {"keys": ["gate", "gate2"]}, "release-owner": {"keys": ["ann", "gate", "gate2"]}}
    for operator in ("gate", "gate2"):
        with pytest.raises(VerificationError, match=rf"does not count: '0.json': {operator} signs verdicts and cannot"):
            house.enforce(house.sign_off(operator), roles=roles)


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


def test_a_reviewers_word_that_cannot_be_read_refuses(house: House) -> None:
    """It may be a rejection: nobody's approval outweighs it. By a stranger, it is nothing."""
    for change in UNREADABLE:
        with pytest.raises(VerificationError, match="signed by ann, but it is not formed as a sign-off"):
            house.enforce(house.sign_off("bob"), house.forge("ann", change))
        house.enforce(house.sign_off("bob"), house.forge("mallory", change))


def test_taking_files_away_never_helps(house: House) -> None:
    """Of every set of files without a rejection, each smaller one is met only if the larger is."""
    roles = POLICY["roles"] | {"release-owner": {"keys": ["ann", "bob", "cid"], "threshold": 2}}  # type: ignore[operator]
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
