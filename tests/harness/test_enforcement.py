"""`refute verify --policy`: the roles are demanded, the operator reviews nothing, and taking files away never helps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    generate_key,
    key_id,
    load_private_key,
    public_pem,
    sign_envelope,
)
from refute.enforcement import enforce, strictest_age, trusted_keys
from refute.errors import StaleVerdictError, UsageError, VerificationError
from refute.judging import Judged, judge_run
from refute.policy_file import LoadedPolicy, load_policy
from refute.run_folder import RunFolder, utc_now
from refute.sign_off import SIGN_OFF_TYPE, sign_off_verdict
from refute.verification import Verified, verify_verdict
from refute.waiver import Waiver
from refute.waiver_file import WaiverFile

MakeRun = Callable[..., RunFolder]
Content = dict[str, Any]
PEOPLE = ("gate", "gate2", "ann", "bob", "cid", "mallory")
POLICY = {
    "roles": {
        "operator": {"keys": ["gate", "gate2"]},
        "release-owner": {"keys": ["ann", "bob", "gate"]},
        "security": {"keys": ["cid"]},
    },
    "sign_off": ["release-owner"],
    "require_lock": False,
}


# One criterion holds beside the one that falls short, so that a waiver can make the verdict WARN.
SPEC = """\
spec: SPEC-TINY-001
version: 1
title: Answers
criteria:
  - id: AC-TINY-001
    title: Right
    statement: Most answers are right.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-TINY-001, uses: tiny-accuracy, thresholds: {accuracy: {holds_if: ">= 80 %"}}}
  - id: AC-TINY-002
    title: Enough
    statement: There are enough answers.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-TINY-002, uses: tiny-size, thresholds: {rows: {holds_if: ">= 20 rows"}}}
"""


def waivers(judged: Judged, **changes: str) -> WaiverFile:
    """A waiver by Ada of the criterion that falls short."""
    given = {
        "criterion": "AC-TINY-001",
        "subject_sha256": judged.predicate.subject.sha256,
        "approver": "Ada",
        "reason": "known",
        "expires_at": "2999-01-01T00:00:00Z",
    }
    return WaiverFile(waivers=(Waiver(**{**given, **changes}),))


@dataclass
class House:
    """Keys of everybody, a verdict signed by `gate`, and what it takes to hold one against a policy."""

    folder: Path
    keys: Mapping[str, PrivateKey]
    judged: Judged

    @property
    def verified(self) -> Verified:
        """The verdict, verified with the operator's key."""
        return verify_verdict(self.judged.path.read_bytes(), [public_pem(self.keys["gate"])])

    def policy(self, **changes: object) -> LoadedPolicy:
        """POLICY with changes; key lists hold names."""
        content: Content = json.loads(json.dumps({**POLICY, **changes}))
        for role in content["roles"].values():
            role["keys"] = [{"name": name, "path": f"keys/{name}.pub"} for name in role["keys"]]
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return load_policy(path)

    def sign_off(
        self, name: str, role: str = "release-owner", decision: Literal["approve", "reject"] = "approve"
    ) -> bytes:
        """An honest sign-off."""
        return sign_off_verdict(
            self.verified, self.keys[name], role=role, decision=decision, note=f"by {name}", at=utc_now()
        )

    def forge(self, name: str, change: Callable[[Content], object], digest: str = "") -> bytes:
        """A sign-off with changed content, signed by its owner."""
        content: Content = {
            "role": "release-owner",
            "decision": "approve",
            "note": "n",
            "verdict": {
                "ruling": "GO",
                "release": "tiny",
                "subject_sha256": self.judged.predicate.subject.sha256,
            },
            "signed_at": "2026-01-01T00:00:00Z",
        }
        change(content)
        subject = digest or self.judged.payload_sha256
        payload = build_statement("verdict", subject, content, predicate_type=SIGN_OFF_TYPE)
        return sign_envelope(payload, PAYLOAD_TYPE, [self.keys[name]])

    def enforce(self, *sign_offs: bytes, **changes: object) -> Verified:
        """Hold the verdict against POLICY with changes."""
        files = {f"{n}.json": data for n, data in enumerate(sign_offs)}
        return enforce(self.policy(**changes), self.judged.path.read_bytes(), self.verified, files)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, PrivateKey]:
    """A key for everybody."""
    return {name: load_private_key(generate_key(tmp_path / "keys", name).private) for name in PEOPLE}


@pytest.fixture
def house(tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun) -> House:
    """An honest GO."""
    return House(tmp_path, keys, judge_run(make_run(), keys["gate"], development=False))


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


def test_a_threshold_of_operators_is_demanded(house: House) -> None:
    """Two operators must have signed the verdict itself."""
    roles = POLICY["roles"] | {"operator": {"keys": ["gate", "gate2"], "threshold": 2}}  # type: ignore[operator]
    with pytest.raises(VerificationError, match="signed by 1 keys of the role operator, 2 required"):
        house.enforce(house.sign_off("ann"), roles=roles)
    envelope = json.loads(house.judged.path.read_bytes())
    payload = build_statement(
        house.judged.predicate.subject.name,
        house.judged.predicate.subject.sha256,
        json.loads(house.judged.predicate.model_dump_json()),
    )
    both = sign_envelope(payload, PAYLOAD_TYPE, [house.keys["gate"], house.keys["gate2"]])
    assert json.loads(both)["payload"] == envelope["payload"]
    enforce(house.policy(roles=roles), both, house.verified, {"s": house.sign_off("ann")})


def test_a_lock_is_demanded_unless_the_policy_says_no(house: House) -> None:
    """Left out, it is demanded."""
    with pytest.raises(VerificationError, match="no lock: the run was not pre-registered"):
        house.enforce(house.sign_off("ann"), require_lock=True)


def test_specifications_have_a_minimum_version(house: House) -> None:
    """An older one is stale; one that was not judged at all is a demand that is not met."""
    house.enforce(house.sign_off("ann"), spec_versions={"SPEC-TINY-001": 1})
    with pytest.raises(StaleVerdictError, match="SPEC-TINY-001 was judged in version 1; version 2"):
        house.enforce(house.sign_off("ann"), spec_versions={"SPEC-TINY-001": 2})
    with pytest.raises(VerificationError, match="SPEC-OTHER was not judged") as caught:
        house.enforce(house.sign_off("ann"), spec_versions={"SPEC-OTHER": 1})
    assert not isinstance(caught.value, StaleVerdictError)


def test_every_demand_that_is_not_met_is_named(house: House) -> None:
    """At once, so that nobody has to come back for each."""
    with pytest.raises(VerificationError) as caught:
        house.enforce(require_lock=True, rulings=["WARN"], spec_versions={"SPEC-TINY-001": 2})
    text = str(caught.value)
    wanted = ("the verdict is GO, and only WARN will do", "no lock", "version 2", "approved by 0 keys")
    assert [words for words in wanted if words not in text] == []


def test_a_no_go_is_not_accepted(tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun) -> None:
    """By no policy; nobody can approve it, and an approval made by other means does not count."""
    bad = House(tmp_path, keys, judge_run(make_run(right=10), keys["gate"], development=False))
    with pytest.raises(UsageError, match="NO-GO, and nobody can approve"):
        bad.sign_off("ann")
    forged = bad.forge("ann", lambda content: content["verdict"].update(ruling="NO-GO"))
    with pytest.raises(VerificationError, match="the verdict is NO-GO, and only GO or WARN") as caught:
        bad.enforce(forged)
    assert "ann approved a NO-GO" in str(caught.value)
    with pytest.raises(VerificationError, match="rejected by ann"):
        bad.enforce(bad.sign_off("ann", decision="reject"))


def test_a_waiver_needs_an_approver_of_this_policy(
    tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun
) -> None:
    """Judged without a policy, anybody could waive; whoever verifies with one decides again."""
    run = make_run(spec=SPEC, right=10)
    waived = waivers(judge_run(run, keys["gate"], development=False))
    house = House(tmp_path, keys, judge_run(run, keys["gate"], development=False, waivers=waived))
    assert house.judged.predicate.verdict.ruling == "WARN"
    with pytest.raises(VerificationError, match="AC-TINY-001 was waived by 'Ada', whom the policy does not let waive"):
        house.enforce(house.sign_off("ann"))
    house.enforce(house.sign_off("ann"), approvers=["Ada"])
    unused = waivers(house.judged, criterion="AC-TINY-002")
    idle = replace(house, judged=judge_run(make_run(spec=SPEC), keys["gate"], development=False, waivers=unused))
    idle.enforce(idle.sign_off("ann"))


def test_a_policy_that_judged_is_signed_with_the_verdict(
    tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun
) -> None:
    """Its text says who may waive; a changed text, or a waiver that it does not allow, does not verify."""
    run = make_run(spec=SPEC, right=10)
    house = House(tmp_path, keys, judge_run(run, keys["gate"], development=False))
    waived = waivers(house.judged)
    allowed = house.policy(approvers=["Ada"])
    judged = judge_run(run, keys["gate"], development=False, waivers=waived, policy=allowed)
    assert judged.predicate.verdict.ruling == "WARN"
    refused = judge_run(run, keys["gate"], development=False, waivers=waived, policy=house.policy())
    assert refused.predicate.verdict.ruling == "NO-GO"
    assert refused.predicate.verdict.waivers[0].state == "approver_not_allowed"
    assert judged.predicate.policy is not None
    assert judged.predicate.policy.sha256 == allowed.sha256

    def signed(change: Callable[[Content], object]) -> bytes:
        content: Content = json.loads(judged.predicate.model_dump_json())
        change(content)
        payload = build_statement(judged.predicate.subject.name, judged.predicate.subject.sha256, content)
        return sign_envelope(payload, PAYLOAD_TYPE, [keys["gate"]])

    trusted = [public_pem(keys["gate"])]
    verify_verdict(signed(lambda content: None), trusted)
    with pytest.raises(VerificationError, match=r"the text of policy\.yaml has SHA-256"):
        verify_verdict(signed(lambda content: content["policy"].update(text="approvers: [Ada]")), trusted)
    other = refused.predicate.policy
    assert other is not None
    with pytest.raises(VerificationError, match="its own records give NO-GO"):
        verify_verdict(signed(lambda content: content.update(policy=other.model_dump())), trusted)


def test_waiver_states_are_recomputed(tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun) -> None:
    """A state, a reason or a malformed entry that was changed in the signed content gives it the lie."""
    run = make_run(spec=SPEC, right=10)
    house = House(tmp_path, keys, judge_run(run, keys["gate"], development=False))
    waived = waivers(house.judged, subject_sha256="0" * 64)
    judged = judge_run(run, keys["gate"], development=False, waivers=waived)
    changes: list[Callable[[Content], object]] = [
        lambda content: content["verdict"]["waivers"][0].update(state="applied"),
        lambda content: content["verdict"].update(waivers=[]),
        lambda content: content.update(waivers=[]),
        lambda content: content["waivers"][0].update(subject_sha256=house.judged.predicate.subject.sha256),
        lambda content: content.update(malformed_waivers=[{"criterion": "", "approver": "", "fault": "f"}]),
    ]
    for change in changes:
        content: Content = json.loads(judged.predicate.model_dump_json())
        change(content)
        payload = build_statement(judged.predicate.subject.name, judged.predicate.subject.sha256, content)
        with pytest.raises(VerificationError, match="the signed verdict"):
            verify_verdict(sign_envelope(payload, PAYLOAD_TYPE, [keys["gate"]]), [public_pem(keys["gate"])])


def test_keys_come_from_the_caller_alone(house: House) -> None:
    """Given ones first, else the policy's operators; neither is a usage error."""
    policy = house.policy()
    pem = public_pem(house.keys["mallory"])
    assert trusted_keys(policy, [pem]) == [pem]
    assert [key_id(each) for each in trusted_keys(policy, [])] == [
        key_id(public_pem(house.keys[name])) for name in ("gate", "gate2")
    ]
    for nobody in (None, house.policy(roles={"release-owner": {"keys": ["ann"]}})):
        with pytest.raises(UsageError, match="no key that you trust"):
            trusted_keys(nobody, [])


def test_the_smaller_age_counts(house: House) -> None:
    """The policy's 30 days unless the caller or the policy asks for less; null lifts only the policy's."""
    week = timedelta(days=7)
    assert strictest_age(None, None) is None
    assert strictest_age(None, week) == week
    assert strictest_age(house.policy(), None) == timedelta(days=30)
    assert strictest_age(house.policy(max_age_days=3), week) == timedelta(days=3)
    assert strictest_age(house.policy(max_age_days=None), week) == week
    assert strictest_age(house.policy(max_age_days=None), None) is None
