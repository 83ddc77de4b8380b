"""Outcome x severity x waiver, every cell: the design's algebra as a table, beside one criterion that holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from refute.judge.verdict import Verdict, WaiverState
from refute.outcome import Outcome, Ruling, Severity
from refute.spec.policy import Policy
from refute.spec.waiver import MalformedWaiver, Waiver
from refute_contracts import verdict_cases
from refute_contracts.verdict_cases import ANCHOR, HOLDS, SUBJECT, criterion, record

GO, WARN, NO_GO = Ruling.GO, Ruling.WARN, Ruling.NO_GO
# What a criterion comes to, and what that gives for severities block, warn and info where no waiver is in force.
# `uncovered` has no falsifier, so no outcome of its own.
BARE = {
    "corroborated": (GO, GO, GO),
    "not_applicable": (GO, GO, GO),
    "inconclusive": (NO_GO, WARN, GO),
    "not_run": (NO_GO, WARN, GO),
    "skipped": (NO_GO, WARN, GO),
    "timeout": (NO_GO, WARN, GO),
    "error": (NO_GO, WARN, GO),
    "falsified": (NO_GO, WARN, GO),
    "uncovered": (NO_GO, WARN, WARN),
}
# Where a waiver is in force: the same, but for a shortfall that was measured, which is WARN at best and at worst.
WAIVED = BARE | {"inconclusive": (WARN, WARN, WARN), "falsified": (WARN, WARN, WARN)}
# The state of a waiver that is in force, by what its criterion came to.
IN_FORCE = dict.fromkeys(BARE, WaiverState.CANNOT_BE_WAIVED) | {
    "corroborated": WaiverState.NOT_NEEDED,
    "not_applicable": WaiverState.NOT_NEEDED,
    "inconclusive": WaiverState.APPLIED,
    "falsified": WaiverState.APPLIED,
}
# Waivers that are not in force, whatever the criterion came to.
OUT_OF_FORCE = {
    "expired": WaiverState.EXPIRED,
    "another subject's": WaiverState.WRONG_SUBJECT,
    "another criterion's": WaiverState.UNKNOWN_CRITERION,
    "a stranger's": WaiverState.APPROVER_NOT_ALLOWED,
    "of a day that is none": WaiverState.MALFORMED,
    "malformed": WaiverState.MALFORMED,
}
SEVERITIES = ["block", "warn", "info"]


@dataclass(frozen=True)
class Given:
    """The waivers of one cell."""

    waivers: tuple[Waiver, ...] = ()
    malformed: tuple[MalformedWaiver, ...] = ()


def waiver(kind: str) -> Given:
    """A waiver of AC-ONE, in force or with what its kind says is wrong."""
    if kind == "malformed":
        return Given(malformed=(MalformedWaiver(criterion="AC-ONE", approver="Ann", fault="line 2: no reason"),))
    given = Waiver(
        criterion="AC-TWO" if kind == "another criterion's" else "AC-ONE",
        subject_sha256="6" * 64 if kind == "another subject's" else SUBJECT,
        approver="Mallory" if kind == "a stranger's" else "Ann",
        reason="known",
        expires_at={
            "expired": "2026-06-01T00:00:00Z",
            "of a day that is none": "2026-06-31T00:00:00Z",
        }.get(kind, "2026-06-01T00:00:01Z"),
    )
    return Given((given,))


def rule(outcome: str, severity: str, given: Given) -> Verdict:
    """The verdict on AC-ONE beside a criterion that holds."""
    one = criterion("ONE", Severity(severity), falsifiers=int(outcome != "uncovered"))
    if outcome == "not_applicable":
        one = one.model_copy(update={"not_applicable_when": {"run_class": "embedded"}})
    records = [HOLDS] if outcome == "uncovered" else [HOLDS, record(one, Outcome(outcome))]
    policy = Policy(approvers=("Ann",))
    return verdict_cases.rule([ANCHOR, one], records, *given.waivers, malformed=given.malformed, policy=policy)


def test_the_table_knows_every_outcome() -> None:
    """A new outcome needs a row of its own."""
    assert set(BARE) == {*map(str, Outcome), "uncovered"}
    assert {*IN_FORCE.values(), *OUT_OF_FORCE.values()} == set(WaiverState)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("outcome", BARE)
def test_without_a_waiver(outcome: str, severity: str) -> None:
    """The verdict is the table's."""
    assert rule(outcome, severity, Given()).ruling is BARE[outcome][SEVERITIES.index(severity)]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("outcome", BARE)
def test_with_a_waiver_in_force(outcome: str, severity: str) -> None:
    """WARN for a measured shortfall, nothing for anything else; listed with its state in every case."""
    verdict = rule(outcome, severity, waiver("in force"))
    assert verdict.ruling is WAIVED[outcome][SEVERITIES.index(severity)]
    assert [each.state for each in verdict.waivers] == [IN_FORCE[outcome]]
    assert bool(verdict.waivers_applied) == (IN_FORCE[outcome] is WaiverState.APPLIED)


@pytest.mark.parametrize("kind", OUT_OF_FORCE)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("outcome", BARE)
def test_with_a_waiver_out_of_force(outcome: str, severity: str, kind: str) -> None:
    """The verdict is what it is without one, reasons included; the waiver is listed all the same."""
    bare, verdict = rule(outcome, severity, Given()), rule(outcome, severity, waiver(kind))
    assert verdict.ruling is BARE[outcome][SEVERITIES.index(severity)]
    assert [each.state for each in verdict.waivers] == [OUT_OF_FORCE[kind]]
    assert replace(verdict, waivers=()) == bare
