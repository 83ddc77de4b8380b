"""Waivers: a named person lets one criterion fall short for one subject until a date. Each is listed with its state.

A waiver accepts a known shortfall: a criterion whose falsifiers were measured, and one of them falsified or
inconclusive. What was not measured (an error, a timeout, a skip, no run, no falsifier) is not known, so nobody can
accept it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from refute.judge.verdict import CriterionRuling, WaiverRuling, WaiverState
from refute.outcome import Outcome
from refute.spec.policy import Policy
from refute.spec.waiver import MalformedWaiver, Waiver

_MEASURED = (Outcome.CORROBORATED, Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE, Outcome.FALSIFIED)


def rule_waivers(
    waivers: Sequence[Waiver],
    criteria: Sequence[CriterionRuling],
    *,
    subject_sha256: str | None,
    at: datetime | None,
    policy: Policy | None,
    malformed: Sequence[MalformedWaiver] = (),
) -> tuple[WaiverRuling, ...]:
    """What becomes of each waiver at the moment `at` (with a time zone); malformed ones come last.

    Without a subject or a moment no waiver is in force, nor without a policy, which names those who may waive.
    """
    by_id: dict[str, list[CriterionRuling]] = {}
    for ruling in criteria:
        by_id.setdefault(ruling.criterion, []).append(ruling)
    notice = timedelta(days=0 if policy is None else policy.waiver_notice_days)
    ruled = [_rule(waiver, by_id, subject_sha256, at, policy, notice) for waiver in waivers]
    broken = [
        WaiverRuling(each.criterion, each.approver, "", "", WaiverState.MALFORMED, each.fault) for each in malformed
    ]
    return (*ruled, *broken)


def _rule(
    waiver: Waiver,
    by_id: Mapping[str, Sequence[CriterionRuling]],
    subject_sha256: str | None,
    at: datetime | None,
    policy: Policy | None,
    notice: timedelta,
) -> WaiverRuling:
    state, why = _not_in_force(waiver, subject_sha256, at, policy) or _use(waiver, by_id.get(waiver.criterion, ()))
    expires = _moment(waiver.expires_at)
    in_force = state in (WaiverState.APPLIED, WaiverState.NOT_NEEDED)
    soon = in_force and at is not None and expires is not None and expires - at <= notice
    return WaiverRuling(waiver.criterion, waiver.approver, waiver.reason, waiver.expires_at, state, why, soon)


def _not_in_force(
    waiver: Waiver, subject_sha256: str | None, at: datetime | None, policy: Policy | None
) -> tuple[WaiverState, str] | None:
    expires = _moment(waiver.expires_at)
    if expires is None:
        return WaiverState.MALFORMED, f"expires_at {waiver.expires_at} is no moment of the calendar"
    if waiver.subject_sha256 != subject_sha256:
        found = f"is {subject_sha256}" if subject_sha256 else "is not known"
        return WaiverState.WRONG_SUBJECT, f"given for the subject {waiver.subject_sha256}; the one judged {found}"
    if at is None:
        return WaiverState.EXPIRED, "no moment of judgement was given, so it cannot be shown to be in force"
    if at >= expires:
        return WaiverState.EXPIRED, f"ended at {waiver.expires_at}"
    if policy is None:
        return WaiverState.APPROVER_NOT_ALLOWED, "no policy says who may waive; give one with --policy"
    if waiver.approver not in policy.approvers:
        return WaiverState.APPROVER_NOT_ALLOWED, f"the policy does not let {waiver.approver!r} waive"
    return None


def _use(waiver: Waiver, rulings: Sequence[CriterionRuling]) -> tuple[WaiverState, str]:
    if not rulings:
        return WaiverState.UNKNOWN_CRITERION, f"no specification judged here has {waiver.criterion}"
    wanting = [ruling for ruling in rulings if not ruling.holds]
    if not wanting:
        return WaiverState.NOT_NEEDED, "the criterion holds"
    if unknown := "; ".join(text for ruling in wanting for text in _unmeasured(ruling)):
        return WaiverState.CANNOT_BE_WAIVED, f"only a measured shortfall can be accepted: {unknown}"
    return WaiverState.APPLIED, f"in force until {waiver.expires_at}"


def _unmeasured(ruling: CriterionRuling) -> list[str]:
    if ruling.uncovered:
        return ["no falsifier attacks the criterion"]
    return [
        f"{each.falsifier} {each.outcome.replace('_', ' ')}: {each.reason}"
        for each in ruling.falsifiers
        if each.outcome not in _MEASURED
    ]


def _moment(text: str) -> datetime | None:
    """The expiry as a moment, or None for a date that does not exist, such as February 30."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
