"""Records that lie: whatever the criterion weighs, and whoever waives it, the verdict is NO-GO."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refute.judge.algebra import judge
from refute.outcome import Interval, Outcome, Ruling, RunClass, Severity
from refute_contracts.verdict_cases import (
    ANCHOR,
    BAD,
    CONTROLS,
    GOOD,
    HOLDS,
    OPEN,
    RELEASE,
    criterion,
    record,
    rule,
    spec,
    waiver,
)

ONE = criterion("ONE")
TRUE = record(ONE, Outcome.CORROBORATED)
# The other two are of neither kind.
GOOD_CONTROL, BAD_CONTROL = CONTROLS[:2]
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
    "only a known good": replace(TRUE, controls=(GOOD_CONTROL,)),
    "only a known bad": replace(TRUE, controls=(BAD_CONTROL,)),
    "a control that misbehaved": replace(
        TRUE, controls=(GOOD_CONTROL, replace(BAD_CONTROL, observed=Outcome.CORROBORATED, measurements=(GOOD,)))
    ),
    "a control that only claims": replace(TRUE, controls=(GOOD_CONTROL, replace(BAD_CONTROL, measurements=()))),
    "a control whose numbers differ": replace(
        TRUE, controls=(GOOD_CONTROL, replace(BAD_CONTROL, measurements=(GOOD,)))
    ),
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
    for waivers in ([], [waiver(one)]):
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
    verdict = judge(spec(ANCHOR), [HOLDS], release=RELEASE, faults=["records.jsonl line 2 is not a record"])
    assert (verdict.ruling, verdict.reasons) == (Ruling.NO_GO, ("records.jsonl line 2 is not a record",))


@pytest.mark.parametrize("severity", Severity)
def test_misbehaviour_anywhere_is_fatal(severity: Severity) -> None:
    """An honest record of a broken falsifier, on what is only shown, in a record of its own error."""
    one = criterion("ONE", severity)
    broken = replace(
        TRUE,
        outcome=Outcome.ERROR,
        controls=(GOOD_CONTROL, replace(BAD_CONTROL, observed=Outcome.ERROR, measurements=())),
    )
    verdict = rule([ANCHOR, one], [HOLDS, broken])
    assert verdict.ruling is Ruling.NO_GO
    assert "1 of 6 controls misbehaved: their falsifiers prove nothing" in verdict.reasons
    assert (verdict.controls_behaved, verdict.controls_total) == (5, 6)
