"""`refute verify --policy`: what a policy demands of the verdict itself, its signers, its waivers and its age."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from enforcing import POLICY, Content, House
from refute.attest import PAYLOAD_TYPE, PrivateKey, build_statement, key_id, public_pem, sign_envelope
from refute.errors import StaleVerdictError, UsageError, VerificationError
from refute.isolation.containment import Containment
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.facts import Contained
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.spec.policy import strictest_age, trusted_keys
from refute.spec.waiver import Waiver, WaiverFile
from refute.verify.policy_check import enforce
from refute.verify.verification import verify_verdict
from tiny_spec import tiny_spec

MakeRun = Callable[..., RunFolder]
# One criterion holds beside the one that falls short, so that a waiver can make the verdict WARN.
TWO_BLOCK = tiny_spec(second="block")


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


@pytest.mark.slow
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


def test_an_engine_is_demanded_by_wheel_or_by_digest(house: House) -> None:
    """The tests' refute runs from sources: that will do for nobody who demands a wheel, its digest for who names it."""
    engine = house.judged.predicate.engine
    assert engine is not None
    assert engine.sentence in house.verified.checks
    house.enforce(house.sign_off("ann"), engines=["0" * 64, engine.sha256])
    for demand, words in (
        ({"engines": ["0" * 64]}, "refute must be one of 1 named engines"),
        ({"engine_as_installed": not engine.as_installed}, "refute must be as it was installed"),
    ):
        if any(demand.values()):
            with pytest.raises(VerificationError, match=words):
                house.enforce(house.sign_off("ann"), **demand)


def test_every_demand_that_is_not_met_is_named(house: House) -> None:
    """At once, so that nobody has to come back for each."""
    with pytest.raises(VerificationError) as caught:
        house.enforce(require_lock=True, rulings=["WARN"], spec_versions={"SPEC-TINY-001": 2})
    text = str(caught.value)
    wanted = ("the verdict is GO, and only WARN will do", "no lock", "version 2", "approved by 0 keys")
    assert [words for words in wanted if words not in text] == []


@pytest.mark.slow
def test_a_no_go_is_not_accepted(tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun) -> None:
    """By no policy; nobody can approve it, and an approval made by other means does not count."""
    bad = House(tmp_path, keys, judge_run(make_run(right=10), Operator(keys["gate"], development=False)))
    with pytest.raises(UsageError, match="NO-GO, and nobody can approve"):
        bad.sign_off("ann")
    forged = bad.forge("ann", lambda content: content["verdict"].update(ruling="NO-GO"))
    with pytest.raises(VerificationError, match="the verdict is NO-GO, and only GO will do") as caught:
        bad.enforce(forged)
    assert "ann approved a NO-GO" in str(caught.value)
    with pytest.raises(VerificationError, match="rejected by ann"):
        bad.enforce(bad.sign_off("ann", decision="reject"))


@pytest.mark.slow
def test_a_waiver_needs_an_approver_of_this_policy(
    tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun
) -> None:
    """Judged under another policy, others could waive; whoever verifies with one decides again."""
    run = make_run(spec=TWO_BLOCK, right=10)
    house = House(tmp_path, keys, judge_run(run, Operator(keys["gate"], development=False)))
    theirs = Operator(
        keys["gate"], development=False, waivers=waivers(house.judged), policy=house.policy(approvers=["Ada"])
    )
    house = replace(house, judged=judge_run(run, theirs))
    assert house.judged.predicate.verdict.ruling == "WARN"
    either = ["GO", "WARN"]
    with pytest.raises(VerificationError, match="AC-TINY-001 was waived by 'Ada', whom the policy does not let waive"):
        house.enforce(house.sign_off("ann"), rulings=either)
    with pytest.raises(VerificationError, match="the verdict is WARN, and only GO will do"):
        house.enforce(house.sign_off("ann"), approvers=["Ada"])
    house.enforce(house.sign_off("ann"), approvers=["Ada"], rulings=either)
    with pytest.raises(VerificationError, match="waived until 2999-01-01T00:00:00Z, more than 30 days after"):
        house.enforce(house.sign_off("ann"), approvers=["Ada"], rulings=either, max_waiver_days=30)
    unused = waivers(house.judged, criterion="AC-TINY-002")
    idle = replace(
        house, judged=judge_run(make_run(spec=TWO_BLOCK), Operator(keys["gate"], development=False, waivers=unused))
    )
    idle.enforce(idle.sign_off("ann"))


@pytest.mark.slow
def test_a_policy_that_judged_is_signed_with_the_verdict(
    tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun
) -> None:
    """Its text says who may waive; a changed text, or a waiver that it does not allow, does not verify."""
    run = make_run(spec=TWO_BLOCK, right=10)
    house = House(tmp_path, keys, judge_run(run, Operator(keys["gate"], development=False)))
    waived = waivers(house.judged)
    allowed = house.policy(approvers=["Ada"])
    judged = judge_run(run, Operator(keys["gate"], development=False, waivers=waived, policy=allowed))
    assert judged.predicate.verdict.ruling == "WARN"
    refused = judge_run(run, Operator(keys["gate"], development=False, waivers=waived, policy=house.policy()))
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


@pytest.mark.slow
def test_waiver_states_are_recomputed(tmp_path: Path, keys: dict[str, PrivateKey], make_run: MakeRun) -> None:
    """A state, a reason or a malformed entry that was changed in the signed content gives it the lie."""
    run = make_run(spec=TWO_BLOCK, right=10)
    house = House(tmp_path, keys, judge_run(run, Operator(keys["gate"], development=False)))
    waived = waivers(house.judged, subject_sha256="0" * 64)
    judged = judge_run(run, Operator(keys["gate"], development=False, waivers=waived))
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


# What a policy can ask of a verdict's identity, and the words that refuse another.
IDENTITY: dict[str, tuple[dict[str, object], str]] = {
    "release": ({"releases": ["other"]}, "the verdict is on release tiny, and only other will do"),
    "run class": ({"run_classes": ["full", "embedded"]}, "the run was quick, and only full, embedded will do"),
    "number": ({"min_sequence": 2}, "number 1 of its release, 2 or later required"),
    "measured again": ({"require_remeasured": True}, "not remeasured"),
    "contained": ({"contained": "reaped"}, "none in pytest, none when measured again; reaped or more is required"),
    "model": ({"require_model": True}, "the model was not compared"),
    "specification": ({"spec_sha256": {"SPEC-TINY-001": "0" * 64}}, "specification SPEC-TINY-001 has SHA-256"),
    "absent": ({"spec_sha256": {"SPEC-OTHER": "0" * 64}}, "specification SPEC-OTHER has SHA-256 none"),
    "falsifier": ({"falsifier_sha256": {"tiny-accuracy": "0" * 64}}, "falsifier tiny-accuracy has SHA-256"),
    "unused": ({"falsifier_sha256": {"held-out-loss": "0" * 64}}, "falsifier held-out-loss has SHA-256 none"),
}


@pytest.mark.parametrize("tier", Containment)
def test_a_policy_says_how_far_code_must_have_been_contained(house: House, tier: Containment) -> None:
    """Both where pytest ran and where it was measured again: the lesser of the two counts."""
    found = {tier: Contained(pytest=tier, remeasured=Containment.OFFLINE) for tier in Containment}
    found[Containment.OFFLINE] = Contained(pytest=Containment.OFFLINE, remeasured=Containment.NAMESPACES)
    predicate = house.verified.predicate.model_copy(update={"contained": found[tier]})
    loaded = house.policy(contained="namespaces")
    verified = replace(house.verified, predicate=predicate)
    given = {"s": house.sign_off("ann")}
    if tier.reaches(Containment.NAMESPACES):
        assert "approved" in enforce(loaded, house.judged.path.read_bytes(), verified, given).checks[-1]
    else:
        with pytest.raises(VerificationError, match=f"{tier} in pytest, offline when measured again; namespaces or"):
            enforce(loaded, house.judged.path.read_bytes(), verified, given)


@pytest.mark.parametrize("what", IDENTITY)
def test_a_policy_says_which_verdict_will_do(house: House, what: str) -> None:
    """Each demand alone refuses an honest GO that is of something else."""
    demand, words = IDENTITY[what]
    with pytest.raises(VerificationError, match=words):
        house.enforce(house.sign_off("ann"), **demand)


def test_a_verdict_that_is_what_was_asked_for_will_do(house: House) -> None:
    """All of those demands at once, as they fit."""
    predicate = house.judged.predicate
    fitting = {
        "releases": ["tiny"],
        "run_classes": ["quick"],
        "min_sequence": 1,
        "spec_sha256": {text.id: text.sha256 for text in predicate.specs},
        "falsifier_sha256": {"tiny-accuracy": predicate.run.falsifiers["tiny-accuracy"].code_sha256},
    }
    house.enforce(house.sign_off("ann"), **fitting)
