"""Waivers: whatever is malformed, expired, another subject's or nobody's to give is not applied."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refute.waiver import Policy, Waiver, Waivers, applicable

SUBJECT = "5" * 64
FIELDS = {
    "criterion": "AC-A",
    "subject_sha256": SUBJECT,
    "approver": "Ann",
    "reason": "known and accepted",
    "expires_at": "2027-01-31T00:00:00Z",
}
EXPIRES = datetime(2027, 1, 31, tzinfo=UTC)


def waiver(**changes: str) -> Waiver:
    """A whole waiver with changes."""
    return Waiver(**{**FIELDS, **changes})


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
    assert bool(applicable([waiver()], SUBJECT, EXPIRES + distance, None)) == (distance < timedelta(0))


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-30T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "9999-12-31T25:00:00Z",
        "\u0662\u0660\u0662\u0667-01-01T00:00:00Z",
    ],
)
def test_a_moment_that_does_not_exist_has_passed(text: str) -> None:
    """February 30 never comes, so it is not waited for."""
    assert not applicable([waiver().model_copy(update={"expires_at": text})], SUBJECT, EXPIRES.replace(year=1), None)


def test_the_last_moments_of_the_calendar_are_no_overflow() -> None:
    """A waiver for ever is still a waiver with an end."""
    assert applicable([waiver(expires_at="9999-12-31T23:59:59Z")], SUBJECT, EXPIRES, None)
    assert not applicable([waiver(expires_at="0001-01-01T00:00:00Z")], SUBJECT, EXPIRES, None)


BEFORE = EXPIRES - timedelta(days=1)


@pytest.mark.parametrize(
    ("subject", "at", "policy", "applies"),
    [
        (SUBJECT, BEFORE, None, True),
        (SUBJECT, BEFORE, Policy(approvers=("Bob", "Ann")), True),
        (SUBJECT, BEFORE, Policy(), False),
        (SUBJECT, BEFORE, Policy(approvers=("ann",)), False),
        ("6" * 64, BEFORE, None, False),
        (None, BEFORE, None, False),
        (SUBJECT, None, None, False),
    ],
)
def test_a_waiver_applies_only_where_it_was_given(
    subject: str | None, at: datetime | None, policy: Policy | None, applies: bool
) -> None:
    """For this subject, at a known moment, by somebody whom the policy names."""
    found = applicable([waiver()], subject, at, policy)
    assert dict(found) == ({"AC-A": waiver()} if applies else {})


def test_an_expired_waiver_does_not_hide_one_in_force() -> None:
    """In either order, the one that still holds is found."""
    old = waiver(expires_at="2020-01-01T00:00:00Z")
    for both in ([old, waiver()], [waiver(), old]):
        assert applicable(both, SUBJECT, BEFORE, None)["AC-A"] == waiver()
