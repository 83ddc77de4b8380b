"""Criteria, records and waivers to be ruled on: honest ones, which properties and tests then spoil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from refute.judge.verdict import Verdict
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, RunClass, Severity
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse, Spec
from refute.spec.policy import Policy
from refute.spec.release import Release
from refute.spec.waiver import MalformedWaiver, Waiver

SUBJECT = "5" * 64
AT = datetime(2026, 6, 1, tzinfo=UTC)
GOOD = Measurement("count", 0.0, "files", 5, evidence=("e" * 64,))
BAD = replace(GOOD, value=2.0)
OPEN = replace(GOOD, value=1.0, interval=Interval(0.0, 2.0, 0.95, "Wilson"))
NUMBERS = {Outcome.CORROBORATED: (GOOD,), Outcome.FALSIFIED: (BAD,), Outcome.INCONCLUSIVE: (OPEN,)}
CONTROLS = (
    ControlResult("good", Outcome.CORROBORATED, Outcome.CORROBORATED, "", (GOOD,)),
    ControlResult("bad", Outcome.FALSIFIED, Outcome.FALSIFIED, "", (BAD,)),
    ControlResult("open", Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE, "", (OPEN,)),
    ControlResult("unusable", Outcome.ERROR, Outcome.ERROR, "refused"),
)
RELEASE = Release.model_validate(
    {"release": "r", "title": "t", "run_class": RunClass.EMBEDDED, "subject": "corpus", "evidence": {"corpus": "a"}}
)
# What the gate does not know of the subject, and what it made of it.
ELSEWHERE, DERIVED = "gate", "answers"
NEEDS = {"corpus": (), ELSEWHERE: (), "probe": ("corpus", ELSEWHERE), DERIVED: ("probe",)}
POLICY = Policy(approvers=("Ann",))
# Outcomes that a record may have by itself; `not_applicable` is the spec's to grant.
RECORDED = [outcome for outcome in Outcome if outcome is not Outcome.NOT_APPLICABLE]


class Case(NamedTuple):
    """One criterion: its severity, the outcomes of its falsifiers, whether it is waived, and open only as a warning.

    `aside`: measured on evidence that is not the subject's.
    """

    severity: Severity
    outcomes: list[Outcome]
    waived: bool = False
    lenient: bool = False
    aside: bool = False


def criterion(
    name: str,
    severity: Severity = Severity.BLOCK,
    *,
    falsifiers: int = 1,
    effective_on: str | None = None,
    lenient: bool = False,
) -> Criterion:
    """A criterion AC-name with falsifiers F-name-0, F-name-1, …"""
    bar = {"count": ThresholdText(holds_if="<= 1 files")}
    uses = tuple(FalsifierUse(id=f"F-{name}-{n}", uses="a-count", thresholds=bar) for n in range(falsifiers))
    return Criterion(
        id=f"AC-{name}",
        title="t",
        statement="s",
        severity=severity,
        phase=1,
        effective_on=effective_on,
        inconclusive="warn" if lenient and severity is Severity.BLOCK else "block",
        falsifiers=uses,
    )


def spec(*criteria: Criterion) -> Spec:
    """A spec of these criteria."""
    return Spec(spec="SPEC-A", version=1, title="t", criteria=criteria)


def record(of: Criterion, outcome: Outcome, number: int = 0, *, on: str = "corpus") -> Record:
    """An honest record on a piece of evidence: its numbers give its outcome, its controls behaved."""
    measured = outcome in NUMBERS
    return Record(
        "SPEC-A",
        of.id,
        of.falsifiers[number].id,
        "a-count",
        outcome,
        "as measured" if measured else "it said so",
        RunClass.EMBEDDED,
        NUMBERS.get(outcome, ()),
        CONTROLS if measured else (),
        ((on, "d" * 64),) if measured else (),
        "c" * 64,
    )


def waiver(of: Criterion) -> Waiver:
    """A waiver of a criterion, in force at AT."""
    expires_at = "2026-07-01T00:00:00Z"
    return Waiver(criterion=of.id, subject_sha256=SUBJECT, approver="Ann", reason="r", expires_at=expires_at)


ANCHOR = criterion("ANCHOR")
HOLDS = record(ANCHOR, Outcome.CORROBORATED)


def rule(
    criteria: Sequence[Criterion],
    records: Sequence[Record],
    *waivers: Waiver,
    at: datetime | None = AT,
    subject: str | None = SUBJECT,
    policy: Policy | None = POLICY,
    malformed: Sequence[MalformedWaiver] = (),
) -> Verdict:
    """The verdict on the embedded release, with everything that a judge is given."""
    from refute.judge.algebra import judge

    return judge(
        spec(*criteria),
        records,
        policy=policy,
        waivers=waivers,
        malformed_waivers=malformed,
        at=at,
        release=RELEASE,
        evidence_needs=NEEDS,
        subject_sha256=subject,
        faults=(),
    )


def build(cases: Sequence[Case]) -> tuple[list[Criterion], list[Record], list[Waiver]]:
    """Criteria N0, N1, … as these cases say, and waivers for those that are waived."""
    criteria = [
        criterion(f"N{n}", case.severity, falsifiers=len(case.outcomes), lenient=case.lenient)
        for n, case in enumerate(cases)
    ]
    records = [
        record(of, outcome, number, on=ELSEWHERE if case.aside else "corpus")
        for of, case in zip(criteria, cases, strict=True)
        for number, outcome in enumerate(case.outcomes)
    ]
    return criteria, records, [waiver(of) for of, case in zip(criteria, cases, strict=True) if case.waived]
