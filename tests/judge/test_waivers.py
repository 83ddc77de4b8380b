"""Waivers: whatever is malformed, expired, another subject's or nobody's to give is not applied, and always listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refute.judge.verdict import CriterionRuling, FalsifierRuling, WaiverRuling, WaiverState
from refute.judge.waivers import rule_waivers
from refute.outcome import Outcome, Severity
from refute.spec.policy import Policy
from refute.spec.waiver import MalformedWaiver, Waiver, Waivers

SUBJECT = "5" * 64
FIELDS = {
    "criterion": "AC-A",
    "subject_sha256": SUBJECT,
    "approver": "Ann",
    "reason": "known and accepted",
    "expires_at": "2027-01-31T00:00:00Z",
}
EXPIRES = datetime(2027, 1, 31, tzinfo=UTC)
POLICY = Policy(approvers=("Ann",))
BEFORE = EXPIRES - timedelta(days=90)


def waiver(**changes: str) -> Waiver:
    """A whole waiver with changes."""
    return Waiver(**{**FIELDS, **changes})


def criterion(*outcomes: Outcome, name: str = "AC-A", spec: str = "SPEC-A") -> CriterionRuling:
    """A block criterion whose falsifiers came to these outcomes."""
    falsifiers = tuple(FalsifierRuling(f"F-{n}", outcome, "as found") for n, outcome in enumerate(outcomes))
    of = max(outcomes, key=lambda each: each.rank, default=Outcome.NOT_RUN)
    return CriterionRuling(spec, name, "t", Severity.BLOCK, 1, of, not outcomes, falsifiers)


SHORT = (criterion(Outcome.FALSIFIED),)


def rule(
    *waivers: Waiver,
    criteria: Sequence[CriterionRuling] = SHORT,
    subject: str | None = SUBJECT,
    at: datetime | None = BEFORE,
    policy: Policy | None = POLICY,
) -> tuple[WaiverRuling, ...]:
    """What becomes of the waivers, of one in force by default."""
    return rule_waivers(waivers or (waiver(),), criteria, subject_sha256=subject, at=at, policy=policy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("criterion", ""),
        ("criterion", "  "),
        ("approver", ""),
        ("approver", "\t"),
        ("reason", " "),
        ("subject_sha256", "5" * 63),
        ("subject_sha256", "5" * 63 + "G"),
        ("subject_sha256", "A" * 64),
        ("expires_at", "2027-01-31"),
        ("expires_at", "2027-01-31T00:00:00"),
        ("expires_at", "2027-01-31T00:00:00+02:00"),
        ("expires_at", "2027-01-31 00:00:00Z"),
        ("expires_at", "2027-01-31T00:00:00Z\n"),
        ("expires_at", "never"),
        ("expires_at", None),
        ("reason", 3),
    ],
)
def test_a_malformed_waiver_is_refused(field: str, value: Any) -> None:
    """Nobody, nothing, no reason, no digest, or an end that is not a moment in UTC."""
    text = json.dumps({"waivers": [{**FIELDS, field: value}]})
    with pytest.raises(ValidationError, match=field):
        Waivers.model_validate_json(text)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_needed_and_no_other(field: str) -> None:
    """A waiver without an end, or with a misspelt key, is none."""
    short = {name: value for name, value in FIELDS.items() if name != field}
    for content in (short, {**FIELDS, f"{field}s": "x"}):
        with pytest.raises(ValidationError, match=field):
            Waivers.model_validate_json(json.dumps({"waivers": [content]}))


@given(st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_a_waiver_ends_at_its_moment(distance: timedelta) -> None:
    """In force strictly before, and never again after."""
    state = rule(at=EXPIRES + distance)[0].state
    assert state is (WaiverState.APPLIED if distance < timedelta(0) else WaiverState.EXPIRED)


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-30T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "9999-12-31T25:00:00Z",
        "\u0662\u0660\u0662\u0667-01-01T00:00:00Z",
    ],
)
def test_a_moment_that_does_not_exist_is_malformed(text: str) -> None:
    """February 30 never comes, so it is not waited for."""
    found = rule(waiver().model_copy(update={"expires_at": text}), at=EXPIRES.replace(year=1))[0]
    assert (found.state, text in found.why) == (WaiverState.MALFORMED, True)


def test_the_last_moments_of_the_calendar_are_no_overflow() -> None:
    """A waiver for ever is still a waiver with an end."""
    assert rule(waiver(expires_at="9999-12-31T23:59:59Z"), at=EXPIRES)[0].state is WaiverState.APPLIED
    assert rule(waiver(expires_at="0001-01-01T00:00:00Z"), at=EXPIRES)[0].state is WaiverState.EXPIRED


@pytest.mark.parametrize(
    ("circumstances", "state", "why"),
    [
        ({}, WaiverState.APPLIED, "in force until 2027-01-31T00:00:00Z"),
        ({"policy": Policy(approvers=("Bob", "Ann"))}, WaiverState.APPLIED, "in force"),
        ({"policy": None}, WaiverState.APPROVER_NOT_ALLOWED, "give one with --policy"),
        ({"policy": Policy()}, WaiverState.APPROVER_NOT_ALLOWED, "does not let 'Ann' waive"),
        ({"policy": Policy(approvers=("ann",))}, WaiverState.APPROVER_NOT_ALLOWED, "'Ann'"),
        ({"subject": "6" * 64}, WaiverState.WRONG_SUBJECT, "6" * 64),
        ({"subject": None}, WaiverState.WRONG_SUBJECT, "is not known"),
        ({"at": None}, WaiverState.EXPIRED, "no moment of judgement"),
        ({"criteria": ()}, WaiverState.UNKNOWN_CRITERION, "AC-A"),
        ({"criteria": (criterion(Outcome.FALSIFIED, name="AC-AA"),)}, WaiverState.UNKNOWN_CRITERION, "AC-A"),
        ({"criteria": (criterion(Outcome.CORROBORATED),)}, WaiverState.NOT_NEEDED, "holds"),
        ({"criteria": (criterion(Outcome.NOT_APPLICABLE),)}, WaiverState.NOT_NEEDED, "holds"),
        ({"criteria": (criterion(),)}, WaiverState.CANNOT_BE_WAIVED, "no falsifier attacks"),
    ],
)
def test_every_state_says_why(circumstances: dict[str, Any], state: WaiverState, why: str) -> None:
    """For this subject, at a known moment, by somebody whom the policy names, for a criterion that falls short."""
    found = rule(**circumstances)[0]
    assert (found.state, why in found.why) == (state, True)
    assert (found.criterion, found.approver, found.reason) == ("AC-A", "Ann", "known and accepted")


@pytest.mark.parametrize("beside", [(), (Outcome.FALSIFIED,), (Outcome.CORROBORATED,)])
@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_measured_shortfall_is_accepted(outcome: Outcome, beside: tuple[Outcome, ...]) -> None:
    """One falsifier that errs, times out, is skipped or does not run is not hidden by another that measured."""
    found = rule(criteria=(criterion(outcome, *beside),))[0]
    measured = {Outcome.CORROBORATED, Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE, Outcome.FALSIFIED}
    short = {outcome, *beside} & {Outcome.INCONCLUSIVE, Outcome.FALSIFIED}
    if outcome not in measured:
        assert (found.state, "F-0" in found.why) == (WaiverState.CANNOT_BE_WAIVED, True)
    else:
        assert found.state is (WaiverState.APPLIED if short else WaiverState.NOT_NEEDED)


def test_a_criterion_of_two_specs_is_waived_whole_or_not_at_all() -> None:
    """A shortfall in one and an error in the other: what is not known in either is accepted in neither."""
    both = (criterion(Outcome.FALSIFIED), criterion(Outcome.ERROR, spec="SPEC-B"))
    assert rule(criteria=both)[0].state is WaiverState.CANNOT_BE_WAIVED
    assert rule(criteria=(both[0], criterion(Outcome.CORROBORATED, spec="SPEC-B")))[0].state is WaiverState.APPLIED


@pytest.mark.parametrize(
    ("days_left", "policy", "soon"),
    [
        (14, POLICY, True),
        (15, POLICY, False),
        (3, Policy(approvers=("Ann",), waiver_notice_days=3), True),
        (4, Policy(approvers=("Ann",), waiver_notice_days=3), False),
        (0.5, Policy(approvers=("Ann",), waiver_notice_days=0), False),
        (-1, POLICY, False),
        (1, None, False),
    ],
)
def test_notice_is_given_before_the_end(days_left: float, policy: Policy | None, soon: bool) -> None:
    """Within the days that the policy asks for, two weeks unless it says; never for a waiver that is not in force."""
    assert rule(at=EXPIRES - timedelta(days=days_left), policy=policy)[0].expires_soon is soon


def test_notice_is_given_for_a_waiver_that_is_not_needed_yet() -> None:
    """It may be needed before it ends; of another subject's, nobody need be told."""
    late = EXPIRES - timedelta(days=1)
    assert rule(at=late, criteria=(criterion(Outcome.CORROBORATED),))[0].expires_soon
    assert not rule(at=late, subject="6" * 64)[0].expires_soon


def test_all_are_listed_and_none_hides_another() -> None:
    """In the order of the file, malformed ones last; an expired one beside one in force changes nothing."""
    old = waiver(expires_at="2020-01-01T00:00:00Z")
    broken = MalformedWaiver(criterion="AC-B", approver="", fault="line 3: reason: this required key is missing")
    for both in ([old, waiver()], [waiver(), old]):
        found = rule_waivers(both, SHORT, subject_sha256=SUBJECT, at=BEFORE, policy=POLICY, malformed=[broken])
        assert {each.state for each in found[:2]} == {WaiverState.EXPIRED, WaiverState.APPLIED}
        assert [each.expires_at for each in found[:2]] == [each.expires_at for each in both]
        assert (found[2].state, found[2].criterion, found[2].why) == (WaiverState.MALFORMED, "AC-B", broken.fault)


def test_any_order_of_faults_is_a_refusal() -> None:
    """However many things are wrong with a waiver at once, it is not applied."""
    wrong: list[Callable[[], dict[str, Any]]] = [
        lambda: {"subject": None},
        lambda: {"at": EXPIRES},
        lambda: {"policy": Policy()},
        lambda: {"criteria": (criterion(Outcome.ERROR),)},
    ]
    for first in wrong:
        for second in wrong:
            assert rule(**{**first(), **second()})[0].state is not WaiverState.APPLIED
