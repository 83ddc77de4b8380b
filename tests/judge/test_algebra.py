"""The verdict algebra, against an oracle of its own: GO only if everything holds, and never by leaving out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import starmap

import pytest

from refute.judge.algebra import judge
from refute.outcome import Outcome, Ruling, RunClass, Severity
from refute.spec.criteria import Criterion, FalsifierUse, Spec
from refute.spec.policy import Policy
from refute_contracts.verdict_cases import (
    ANCHOR,
    AT,
    DERIVED,
    ELSEWHERE,
    HOLDS,
    POLICY,
    RECORDED,
    RELEASE,
    SUBJECT,
    Case,
    build,
    criterion,
    record,
    rule,
    spec,
    waiver,
)

# A waiver accepts a shortfall that was measured; beside it, what holds.
WAIVABLE = {Outcome.FALSIFIED, Outcome.INCONCLUSIVE, Outcome.CORROBORATED}
ONE = criterion("ONE")
TRUE = record(ONE, Outcome.CORROBORATED)


# ------------------------------------------------------------------------------------------------ the algebra


def weight(severity: Severity, outcomes: Sequence[Outcome], waived: bool) -> Ruling:
    """What one criterion may do to a verdict, straight from the design's words."""
    if all(outcome is Outcome.CORROBORATED for outcome in outcomes) and outcomes:
        return Ruling.GO
    if waived and outcomes and set(outcomes) <= WAIVABLE:
        return Ruling.WARN
    if severity is Severity.INFO:
        return Ruling.GO if outcomes else Ruling.WARN
    if severity is Severity.WARN:
        return Ruling.WARN
    return Ruling.NO_GO


@pytest.mark.parametrize("waived", [False, True])
@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("outcome", RECORDED)
def test_one_criterion_beside_one_that_holds(outcome: Outcome, severity: Severity, waived: bool) -> None:
    """The full matrix of outcome, severity and waiver."""
    one = criterion("ONE", severity)
    verdict = rule([ANCHOR, one], [HOLDS, record(one, outcome)], *[waiver(one)] * waived)
    assert verdict.ruling is weight(severity, [outcome], waived)
    assert verdict.criteria[1].outcome is outcome
    assert bool(verdict.waivers_applied) == (waived and outcome in (Outcome.FALSIFIED, Outcome.INCONCLUSIVE))
    assert (verdict.reasons == ()) == (verdict.ruling is Ruling.GO)


def test_the_verdict_does_not_depend_on_the_machine() -> None:
    """One moment in two time zones is one moment; one that names no zone is refused, for it is another everywhere."""
    one = criterion("ONE")
    expires = waiver(one).model_copy(update={"expires_at": "2026-06-01T00:00:01Z"})

    def ruling(at: datetime) -> Ruling:
        records = [HOLDS, record(one, Outcome.FALSIFIED)]
        return rule([ANCHOR, one], records, expires, at=at).ruling

    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    assert (ruling(AT), ruling(elsewhere)) == (Ruling.WARN, Ruling.WARN)
    assert ruling(elsewhere + timedelta(seconds=1)) is Ruling.NO_GO
    with pytest.raises(ValueError, match="must name its time zone"):
        ruling(AT.replace(tzinfo=None))


# ------------------------------------------------------------------------------------------------ what is not there


def test_nothing_at_all_is_no_go() -> None:
    """No records, no criteria, no spec."""
    assert rule([ANCHOR], []).ruling is Ruling.NO_GO
    empty = judge((), [], release=RELEASE)
    assert empty.ruling is Ruling.NO_GO
    assert "nothing was promised" in empty.reasons[0]


@pytest.mark.parametrize("severity", Severity)
def test_an_uncovered_criterion_is_never_a_pass(severity: Severity) -> None:
    """A claim that nothing attacks is not GO, however little it weighs."""
    verdict = rule([ANCHOR, criterion("ONE", severity, falsifiers=0)], [HOLDS])
    assert verdict.ruling is (Ruling.NO_GO if severity is Severity.BLOCK else Ruling.WARN)
    assert verdict.criteria[1].uncovered
    assert any("AC-ONE" in reason and "uncovered" in reason for reason in verdict.reasons)


def test_only_what_is_shown_is_nothing_to_go_on() -> None:
    """Criteria that stop nobody cannot carry a GO."""
    one = criterion("ONE", Severity.INFO)
    verdict = rule([one], [TRUE])
    assert verdict.ruling is Ruling.NO_GO
    assert "there is nothing to go on" in verdict.reasons[0]


PLANNED = Criterion(
    id="AC-ONE",
    title="t",
    statement="s",
    severity=Severity.BLOCK,
    phase=1,
    falsifiers=(FalsifierUse(id="F-ONE-0", planned="not built yet"),),
)


@pytest.mark.parametrize("severity", Severity)
def test_a_planned_falsifier_discharges_nothing(severity: Severity) -> None:
    """Its honest record says not run; a record that claims to have run it is fatal at every severity."""
    planned = PLANNED.model_copy(update={"severity": severity})
    honest = replace(record(ONE, Outcome.NOT_RUN), uses="")
    assert rule([ANCHOR, planned], [HOLDS, honest]).criteria[1].outcome is Outcome.NOT_RUN
    assert rule([ANCHOR, planned], [HOLDS, honest]).ruling is weight(severity, [Outcome.NOT_RUN], False)
    for claimed in (TRUE, replace(TRUE, uses="")):
        assert rule([ANCHOR, planned], [HOLDS, claimed]).ruling is Ruling.NO_GO


def test_a_run_that_is_too_small_discharges_nothing() -> None:
    """A criterion that needs a full run is NO-GO after an embedded one, whatever the record claims."""
    full = ONE.model_copy(update={"requires_run_class": RunClass.FULL})
    demoted = replace(TRUE, outcome=Outcome.NOT_RUN)
    assert rule([ANCHOR, full], [HOLDS, demoted]).criteria[1].outcome is Outcome.NOT_RUN
    assert rule([ANCHOR, full], [HOLDS, demoted]).ruling is Ruling.NO_GO
    assert rule([ANCHOR, full], [HOLDS, TRUE]).criteria[1].outcome is Outcome.ERROR
    assert rule([ANCHOR, full], [HOLDS, replace(TRUE, run_class=RunClass.FULL)]).ruling is Ruling.NO_GO


EXCUSED = ONE.model_copy(update={"not_applicable_when": {"run_class": "embedded"}})
EXCUSE = replace(record(ONE, Outcome.NOT_APPLICABLE), uses="a-count")


def test_only_the_spec_excuses() -> None:
    """Not applicable holds when the spec's condition does, for this release, and is an error otherwise."""
    verdict = rule([ANCHOR, EXCUSED], [HOLDS, EXCUSE])
    assert (verdict.ruling, verdict.criteria[1].outcome) == (Ruling.GO, Outcome.NOT_APPLICABLE)
    assert "run_class is 'embedded'" in verdict.criteria[1].falsifiers[0].reason
    other = ONE.model_copy(update={"not_applicable_when": {"run_class": "full"}})
    assert rule([ANCHOR, other], [HOLDS, EXCUSE]).ruling is Ruling.NO_GO
    assert judge(spec(ANCHOR, EXCUSED), [HOLDS, EXCUSE]).ruling is Ruling.NO_GO, "no release, no excuse"


def test_excuses_alone_are_nothing_to_go_on() -> None:
    """A spec that excuses a release from everything has shown nothing."""
    assert rule([EXCUSED], [EXCUSE]).ruling is Ruling.NO_GO


def test_an_excuse_needs_its_record() -> None:
    """A criterion that does not apply and was not recorded was not selected: the run is partial."""
    verdict = rule([ANCHOR, EXCUSED], [HOLDS])
    assert (verdict.ruling, verdict.partial) == (Ruling.NO_GO, True)


# ----------------------------------------------------------------------------------------------- specs and waivers


def test_several_specs_are_judged_together() -> None:
    """Records go to the criterion of their own spec; one spec alone may be given bare."""
    other = Spec(spec="SPEC-B", version=1, title="t", criteria=(ANCHOR,))
    both = [HOLDS, replace(HOLDS, spec="SPEC-B")]
    assert judge([spec(ANCHOR), other], both).ruling is Ruling.GO
    assert judge([spec(ANCHOR), other], both[:1]).ruling is Ruling.NO_GO
    assert judge(spec(ANCHOR), both[:1]) == judge([spec(ANCHOR)], both[:1])


def test_an_error_behind_a_shortfall_is_not_waived() -> None:
    """Two falsifiers, one falsified and one broken: what is not known cannot be accepted."""
    two = criterion("ONE", falsifiers=2)
    records = [HOLDS, record(two, Outcome.FALSIFIED, 0), record(two, Outcome.ERROR, 1)]
    assert rule([ANCHOR, two], records, waiver(two)).ruling is Ruling.NO_GO
    records[2] = record(two, Outcome.INCONCLUSIVE, 1)
    assert rule([ANCHOR, two], records, waiver(two)).ruling is Ruling.WARN


def test_waivers_count_only_with_a_moment_and_a_subject() -> None:
    """Each without the other is no waiver, and nobody but those of a policy may approve."""
    one = criterion("ONE")
    records = [HOLDS, record(one, Outcome.FALSIFIED)]

    def ruling(at: datetime | None, subject: str | None, policy: Policy | None = POLICY) -> Ruling:
        return judge(
            spec(ANCHOR, one), records, waivers=[waiver(one)], at=at, subject_sha256=subject, policy=policy
        ).ruling

    assert ruling(AT, SUBJECT) is Ruling.WARN
    for refused in (
        ruling(None, SUBJECT),
        ruling(AT, None),
        ruling(AT, "6" * 64),
        ruling(AT + timedelta(days=30), SUBJECT),
        ruling(AT, SUBJECT, None),
        ruling(AT, SUBJECT, Policy()),
        ruling(AT, SUBJECT, Policy(approvers=("Bob",))),
    ):
        assert refused is Ruling.NO_GO


def test_a_waiver_repairs_no_partial_run_and_no_control() -> None:
    """It speaks of one criterion's shortfall, not of the run."""
    one, two = criterion("ONE"), criterion("TWO")
    assert rule([ANCHOR, one], [HOLDS], waiver(one)).ruling is Ruling.NO_GO
    lies = [HOLDS, record(one, Outcome.FALSIFIED), replace(TRUE, criterion="AC-TWO", falsifier="F-TWO-0", controls=())]
    assert rule([ANCHOR, one, two], lies, waiver(one), waiver(two)).ruling is Ruling.NO_GO


@pytest.mark.parametrize(
    ("on", "ruling"),
    [("corpus", Ruling.GO), (DERIVED, Ruling.GO), (ELSEWHERE, Ruling.WARN), ("unknown", Ruling.WARN)],
)
def test_go_rests_on_the_subject(on: str, ruling: Ruling) -> None:
    """What was measured on other evidence than the subject's, or than what was made of it, shows nothing of it."""
    verdict = rule([ONE], [record(ONE, Outcome.CORROBORATED, on=on)])
    assert verdict.ruling is ruling
    assert verdict.criteria[0].about_subject == (ruling is Ruling.GO)


def test_a_release_without_a_subject_is_about_what_it_brings() -> None:
    """Its own evidence counts, and the gate's never does."""
    bare = RELEASE.model_copy(update={"subject": None})
    for on, ruling in (("corpus", Ruling.GO), (ELSEWHERE, Ruling.WARN)):
        assert judge(spec(ONE), [record(ONE, Outcome.CORROBORATED, on=on)], release=bare).ruling is ruling


def test_another_subject_than_the_specs_is_no_go() -> None:
    """One line of a release must not put another model in the student's place; nor may it leave the line out."""
    asked = spec(ANCHOR).model_copy(update={"subject": "student"})
    for subject in ("ce_control", None):
        verdict = judge(asked, [HOLDS], release=RELEASE.model_copy(update={"subject": subject}))
        assert verdict.ruling is Ruling.NO_GO
        assert verdict.reasons[0].startswith(
            f"SPEC-A is about the evidence 'student', and the release's subject is {subject!r}"
        )


def test_reasons_come_most_severe_first() -> None:
    """What stops the release, then doubts, then waivers; each names its falsifier and why."""
    cases = [(Severity.WARN, [Outcome.FALSIFIED], False), (Severity.BLOCK, [Outcome.FALSIFIED], True)]
    criteria, records, waivers = build([*starmap(Case, cases), Case(Severity.BLOCK, [Outcome.FALSIFIED])])
    verdict = rule([ANCHOR, *criteria], [HOLDS, *records], *waivers)
    assert [reason.split()[0] for reason in verdict.reasons] == ["AC-N2", "AC-N0", "AC-N1"]
    assert verdict.reasons[0].startswith("AC-N2 (block) falsified: F-N2-0: count = 2 files ")
    assert verdict.reasons[2] == "AC-N1 waived by Ann until 2026-07-01T00:00:00Z: r"
