"""Records that lie: whatever the criterion weighs, and whoever waives it, the verdict is NO-GO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from refute.judge import judge
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, Ruling, RunClass, Severity
from refute.release import Release
from refute.spec import Criterion, FalsifierUse, Spec, ThresholdText
from refute.verdict import Verdict
from refute.waiver import Waiver

SUBJECT = "5" * 64
GOOD = Measurement("count", 0.0, "files", 5, evidence=("e" * 64,))
BAD = replace(GOOD, value=2.0)
OPEN = replace(GOOD, value=1.0, interval=Interval(0.0, 2.0, 0.95, "Wilson"))
CONTROLS = (
    ControlResult("good", Outcome.CORROBORATED, Outcome.CORROBORATED, "", (GOOD,)),
    ControlResult("bad", Outcome.FALSIFIED, Outcome.FALSIFIED, "", (BAD,)),
)
RELEASE = Release.model_validate(
    {"release": "r", "title": "t", "run_class": RunClass.EMBEDDED, "evidence": {"corpus": "a"}}
)


def criterion(name: str, severity: Severity = Severity.BLOCK) -> Criterion:
    """A criterion AC-name with the falsifier F-name-0."""
    bars = {"count": ThresholdText(holds_if="<= 1 files")}
    use = FalsifierUse(id=f"F-{name}-0", uses="a-count", thresholds=bars)
    return Criterion(id=f"AC-{name}", title="t", statement="s", severity=severity, phase=1, falsifiers=(use,))


def true_record(of: Criterion) -> Record:
    """An honest record of a criterion that holds."""
    return Record(
        "SPEC-A",
        of.id,
        of.falsifiers[0].id,
        "a-count",
        Outcome.CORROBORATED,
        "as measured",
        RunClass.EMBEDDED,
        (GOOD,),
        CONTROLS,
        (("corpus", "d" * 64),),
        "c" * 64,
    )


ANCHOR, ONE = criterion("ANCHOR"), criterion("ONE")
HOLDS, TRUE = true_record(ANCHOR), true_record(ONE)
WAIVER = Waiver(
    criterion="AC-ONE", subject_sha256=SUBJECT, approver="Ann", reason="r", expires_at="2026-07-01T00:00:00Z"
)


def rule(criteria: Sequence[Criterion], records: Sequence[Record], *waivers: Waiver) -> Verdict:
    """The verdict with everything that a judge is given."""
    spec = Spec(spec="SPEC-A", version=1, title="t", criteria=tuple(criteria))
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return judge(spec, records, waivers=waivers, at=at, release=RELEASE, subject_sha256=SUBJECT)


LIES = {
    "its numbers say falsified": replace(TRUE, measurements=(BAD,)),
    "its numbers straddle the bar": replace(TRUE, measurements=(OPEN,)),
    "its numbers say corroborated": replace(TRUE, outcome=Outcome.FALSIFIED),
    "a timeout with numbers": replace(TRUE, outcome=Outcome.TIMEOUT),
    "skipped with numbers": replace(TRUE, outcome=Outcome.SKIPPED),
    "no measurement": replace(TRUE, measurements=()),
    "another measurement": replace(TRUE, measurements=(replace(GOOD, name="total"),)),
    "a measurement twice": replace(TRUE, measurements=(GOOD, GOOD)),
    "another unit": replace(TRUE, measurements=(replace(GOOD, unit="lines"),)),
    "no observation": replace(TRUE, measurements=(replace(GOOD, n=0),)),
    "a value outside its interval": replace(TRUE, measurements=(replace(GOOD, interval=Interval(1, 2, 0.95, "x")),)),
    "NaN": replace(TRUE, measurements=(replace(GOOD, value=float("nan")),)),
    "NaN where no bar asks": replace(TRUE, measurements=(GOOD, replace(GOOD, name="more", value=float("nan")))),
    "infinity": replace(TRUE, measurements=(replace(GOOD, value=float("-inf")),)),
    "an interval of NaN": replace(TRUE, measurements=(replace(GOOD, interval=Interval(float("nan"), 1.0, 0.95, "x")),)),
    "a measurement without evidence": replace(TRUE, measurements=(replace(GOOD, evidence=()),)),
    "no evidence": replace(TRUE, evidence=()),
    "no controls": replace(TRUE, controls=()),
    "only a known good": replace(TRUE, controls=CONTROLS[:1]),
    "only a known bad": replace(TRUE, controls=CONTROLS[1:]),
    "a control that misbehaved": replace(
        TRUE, controls=(CONTROLS[0], replace(CONTROLS[1], observed=Outcome.CORROBORATED, measurements=(GOOD,)))
    ),
    "a control that only claims": replace(TRUE, controls=(CONTROLS[0], replace(CONTROLS[1], measurements=()))),
    "a control whose numbers differ": replace(TRUE, controls=(CONTROLS[0], replace(CONTROLS[1], measurements=(GOOD,)))),
    "another falsifier": replace(TRUE, uses="another-count"),
    "a larger run class": replace(TRUE, run_class=RunClass.FULL),
    "a smaller run class": replace(TRUE, run_class=RunClass.QUICK),
    "not applicable": replace(TRUE, outcome=Outcome.NOT_APPLICABLE),
    "not applicable without a number": replace(
        TRUE, outcome=Outcome.NOT_APPLICABLE, measurements=(), controls=(), evidence=()
    ),
}


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("lie", LIES)
def test_a_record_that_lies_is_fatal_at_every_severity(lie: str, severity: Severity) -> None:
    """Whatever the criterion weighs, and whoever waives it: somebody's files are not what they say."""
    one = criterion("ONE", severity)
    assert rule([ANCHOR, one], [HOLDS, TRUE]).ruling is Ruling.GO
    for waivers in ([], [WAIVER]):
        verdict = rule([ANCHOR, one], [HOLDS, LIES[lie]], *waivers)
        assert (verdict.criteria[1].outcome, verdict.ruling) == (Outcome.ERROR, Ruling.NO_GO)
        assert any("F-ONE-0" in reason or "controls misbehaved" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("other", [Outcome.CORROBORATED, Outcome.ERROR, Outcome.NOT_RUN])
def test_two_records_of_one_falsifier_are_fatal(severity: Severity, other: Outcome) -> None:
    """Also when they agree, also when both are errors, also on what is only shown."""
    one = criterion("ONE", severity)
    second = TRUE if other is Outcome.CORROBORATED else replace(TRUE, outcome=other, measurements=(), controls=())
    for both in ([TRUE, second], [second, second]):
        verdict = rule([ANCHOR, one], [HOLDS, *both])
        assert (verdict.criteria[1].outcome, verdict.ruling) == (Outcome.ERROR, Ruling.NO_GO)


@pytest.mark.parametrize("changes", [{"spec": "SPEC-B"}, {"criterion": "AC-B"}, {"falsifier": "F-B"}])
def test_a_record_of_nothing_known_is_fatal(changes: dict[str, str]) -> None:
    """It may have been meant for something that now lacks one."""
    verdict = rule([ANCHOR], [HOLDS, replace(HOLDS, **changes)])  # type: ignore[arg-type]  # fields by name
    assert verdict.ruling is Ruling.NO_GO
    assert any("which is in no spec" in reason for reason in verdict.reasons)


def test_unreadable_records_are_fatal() -> None:
    """A line that is no record may have been the one that falsified."""
    spec = Spec(spec="SPEC-A", version=1, title="t", criteria=(ANCHOR,))
    verdict = judge(spec, [HOLDS], release=RELEASE, faults=["records.jsonl line 2 is not a record"])
    assert (verdict.ruling, verdict.reasons) == (Ruling.NO_GO, ("records.jsonl line 2 is not a record",))


@pytest.mark.parametrize("severity", Severity)
def test_misbehaviour_anywhere_is_fatal(severity: Severity) -> None:
    """An honest record of a broken falsifier, on what is only shown, in a record of its own error."""
    one = criterion("ONE", severity)
    broken = replace(
        TRUE,
        outcome=Outcome.ERROR,
        controls=(CONTROLS[0], replace(CONTROLS[1], observed=Outcome.ERROR, measurements=())),
    )
    verdict = rule([ANCHOR, one], [HOLDS, broken])
    assert verdict.ruling is Ruling.NO_GO
    assert "1 of 4 controls misbehaved: their falsifiers prove nothing" in verdict.reasons
    assert (verdict.controls_behaved, verdict.controls_total) == (3, 4)
