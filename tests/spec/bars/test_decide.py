"""From measurements to outcomes: run classes demote, missing evidence and broken controls are errors."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from refute import stats
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, RunClass, Severity
from refute.spec.bars.decide import control_faults, control_outcome, misbehaviour, outcome_of
from refute.spec.bars.text import SequentialText, ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse

USE = FalsifierUse(id="F-A", uses="a-count", thresholds={"count": ThresholdText(holds_if="<= 1 files")})
CRITERION = Criterion(id="AC-A", title="t", statement="s", severity=Severity.BLOCK, phase=1, falsifiers=(USE,))
GOOD = Measurement("count", 0.0, "files", 5, evidence=("e" * 64,))
BAD = replace(GOOD, value=2.0)
OPEN = replace(GOOD, value=1.0, interval=Interval(0.0, 2.0, 0.95, "Wilson"))


def demanding(run_class: RunClass) -> Criterion:
    """The criterion, dischargeable from `run_class` on."""
    return CRITERION.model_copy(update={"requires_run_class": run_class})


@pytest.mark.parametrize("run_class", RunClass)
@pytest.mark.parametrize("required", RunClass)
@pytest.mark.parametrize(
    ("measurement", "outcome"),
    [(GOOD, Outcome.CORROBORATED), (OPEN, Outcome.INCONCLUSIVE), (BAD, Outcome.FALSIFIED)],
)
def test_a_smaller_run_discharges_nothing(
    measurement: Measurement, outcome: Outcome, required: RunClass, run_class: RunClass
) -> None:
    """Below the required class, what held or stayed open was not run; what was falsified stays falsified."""
    order = ["quick", "embedded", "full"]
    large_enough = order.index(run_class) >= order.index(required)
    expected = outcome if large_enough or outcome is Outcome.FALSIFIED else Outcome.NOT_RUN
    found, reason = outcome_of(demanding(required), USE, run_class, [measurement])
    assert found is expected
    assert "count = " in reason, "the number is shown even where it does not count"
    if found is Outcome.NOT_RUN:
        assert f"needs a run of class {required}, this one is {run_class}" in reason


@pytest.mark.parametrize("own", [None, *RunClass])
@pytest.mark.parametrize("of_criterion", RunClass)
def test_the_larger_demand_wins(of_criterion: RunClass, own: RunClass | None) -> None:
    """A falsifier may demand a larger run than its criterion, and never undercut it."""
    use = USE.model_copy(update={"requires_run_class": own})
    order = list(RunClass)
    required = order[max(order.index(each) for each in (of_criterion, own) if each is not None)]
    discharging = [
        each for each in RunClass if outcome_of(demanding(of_criterion), use, each, [GOOD])[0] == "corroborated"
    ]
    assert discharging == order[order.index(required) :]


def test_a_number_without_evidence_is_an_error() -> None:
    """Also where another rests on some: each must say which files it is from."""
    found, reason = outcome_of(CRITERION, USE, RunClass.FULL, [GOOD, replace(GOOD, name="more", evidence=())])
    assert (found, reason) == (Outcome.ERROR, "rests on no evidence file: more")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["count", "more"])
def test_a_number_that_is_not_finite_is_an_error(name: str, value: float) -> None:
    """Also in a measurement that no bar asks for, in controls as in the real call."""
    found = [GOOD, replace(GOOD, name="more")]
    found[name == "more"] = replace(GOOD, name=name, value=value)
    assert outcome_of(CRITERION, USE, RunClass.FULL, found)[0] is Outcome.ERROR
    assert control_outcome(USE, found)[0] is Outcome.ERROR


def test_no_measurement_is_an_error() -> None:
    """Silence decides nothing."""
    assert outcome_of(CRITERION, USE, RunClass.FULL, [])[0] is Outcome.ERROR


def test_controls_need_no_evidence_and_no_run_class() -> None:
    """Their files are made up, and they are shown in every run."""
    assert control_outcome(USE, [replace(GOOD, evidence=())])[0] is Outcome.CORROBORATED
    assert control_outcome(USE, [replace(BAD, evidence=())])[0] is Outcome.FALSIFIED


GOOD_CONTROL = ControlResult("good", Outcome.CORROBORATED, Outcome.CORROBORATED, "", (GOOD,))
BAD_CONTROL = ControlResult("bad", Outcome.FALSIFIED, Outcome.FALSIFIED, "", (BAD,))
OPEN_CONTROL = ControlResult("open", Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE, "", (OPEN,))
UNUSABLE_CONTROL = ControlResult("unusable", Outcome.ERROR, Outcome.ERROR, "refused")


def faults(*controls: ControlResult) -> str:
    """What is wrong with a record of these controls."""
    record = Record("S", "AC-A", "F-A", "a-count", Outcome.CORROBORATED, "", RunClass.FULL, (GOOD,), controls)
    return control_faults(record, USE)


def test_controls_that_behaved_have_no_fault() -> None:
    """One good and one bad are enough, in any order; open and unusable ones may stand beside them."""
    assert faults(GOOD_CONTROL, BAD_CONTROL) == faults(BAD_CONTROL, GOOD_CONTROL) == ""
    assert faults(GOOD_CONTROL, BAD_CONTROL, OPEN_CONTROL, UNUSABLE_CONTROL) == ""


@pytest.mark.parametrize(
    ("controls", "fault"),
    [
        ((), "no control was expected to be corroborated; no control was expected to be falsified"),
        ((GOOD_CONTROL,), "no control was expected to be falsified"),
        ((BAD_CONTROL,), "no control was expected to be corroborated"),
        (
            (GOOD_CONTROL, replace(BAD_CONTROL, observed=Outcome.CORROBORATED, measurements=(GOOD,))),
            "control 'bad' must be falsified, but was corroborated",
        ),
        (
            (GOOD_CONTROL, replace(BAD_CONTROL, measurements=(GOOD,))),
            "control 'bad' is recorded as falsified, its numbers say corroborated",
        ),
        (
            (GOOD_CONTROL, replace(BAD_CONTROL, measurements=())),
            "control 'bad' is recorded as falsified without a measurement",
        ),
        (
            (GOOD_CONTROL, BAD_CONTROL, replace(OPEN_CONTROL, measurements=())),
            "control 'open' is recorded as inconclusive without a measurement",
        ),
        (
            (GOOD_CONTROL, BAD_CONTROL, replace(OPEN_CONTROL, measurements=(GOOD,))),
            "control 'open' is recorded as inconclusive, its numbers say corroborated",
        ),
        (
            (GOOD_CONTROL, BAD_CONTROL, replace(UNUSABLE_CONTROL, measurements=(BAD,))),
            "control 'unusable' is recorded as error, its numbers say falsified",
        ),
        (
            (GOOD_CONTROL, BAD_CONTROL, replace(UNUSABLE_CONTROL, observed=Outcome.TIMEOUT)),
            "control 'unusable' must be error, but was timeout",
        ),
        (
            (GOOD_CONTROL, BAD_CONTROL, replace(BAD_CONTROL, name="third", observed=Outcome.ERROR, measurements=())),
            "control 'third' must be falsified, but was error",
        ),
        (
            (GOOD_CONTROL, replace(BAD_CONTROL, measurements=(replace(BAD, unit="lines"),))),
            "its numbers say error",
        ),
        (
            (GOOD_CONTROL, replace(BAD_CONTROL, expected=Outcome.ERROR, observed=Outcome.ERROR, measurements=())),
            "no control was expected to be falsified",
        ),
    ],
)
def test_each_way_a_control_can_fail_is_told(controls: tuple[ControlResult, ...], fault: str) -> None:
    """Missing kinds, misbehaviour, and outcomes that their own numbers do not give."""
    assert fault in faults(*controls)


def test_misbehaviour_names_every_control() -> None:
    """All of them at once, with what was demanded and observed."""
    wrong = [replace(GOOD_CONTROL, name=name, observed=Outcome.FALSIFIED, reason="r") for name in "ab"]
    told = misbehaviour([*wrong, BAD_CONTROL])
    assert told.count("must be corroborated, but was falsified (r)") == 2
    assert misbehaviour([GOOD_CONTROL, BAD_CONTROL]) == ""


# ------------------------------------------------------------------------------------------------ bar by bar

TWO_BARS = FalsifierUse(
    id="F-T",
    uses="two-counts",
    thresholds={"count": ThresholdText(holds_if="<= 1 files"), "lost": ThresholdText(holds_if="== 0 files")},
)


def shown(name: str, expected: Outcome, **values: float) -> ControlResult:
    """A control that behaved, with these counts of files."""
    return ControlResult(name, expected, expected, "", tuple(replace(GOOD, name=n, value=v) for n, v in values.items()))


BOTH_HOLD = shown("good", Outcome.CORROBORATED, count=0, lost=0)
COUNT_ALONE = shown("many", Outcome.FALSIFIED, count=2, lost=0)
LOST_ALONE = shown("lost", Outcome.FALSIFIED, count=0, lost=1)
BOTH_FAIL = shown("both", Outcome.FALSIFIED, count=2, lost=1)


def faults_of_two(*controls: ControlResult) -> str:
    """What is wrong with a record under two bars."""
    found = BOTH_HOLD.measurements
    return control_faults(
        Record("S", "AC-A", "F-T", "two-counts", Outcome.CORROBORATED, "", RunClass.FULL, found, controls), TWO_BARS
    )


@pytest.mark.parametrize(
    ("bad", "unshown"),
    [
        ((COUNT_ALONE, LOST_ALONE), ()),
        ((COUNT_ALONE, LOST_ALONE, BOTH_FAIL), ()),
        ((COUNT_ALONE, BOTH_FAIL), ("lost: == 0 files",)),
        ((LOST_ALONE,), ("count: <= 1 files",)),
        ((BOTH_FAIL,), ("count: <= 1 files", "lost: == 0 files")),
    ],
)
def test_each_bar_must_be_failed_alone(bad: tuple[ControlResult, ...], unshown: tuple[str, ...]) -> None:
    """A bar that only ever fails beside another one might as well not be there."""
    expected = "; ".join(f"no control shows that {bar} can fail: none fails it alone" for bar in unshown)
    assert faults_of_two(BOTH_HOLD, *bad) == expected


def test_a_straddled_bar_beside_it_is_not_held() -> None:
    """What is left open by one bar shows nothing about another."""
    beside = replace(GOOD, name="count", value=1.0, interval=Interval(0.0, 2.0, 0.95, "Wilson"))
    wide = replace(LOST_ALONE, measurements=(beside, LOST_ALONE.measurements[1]))
    assert "lost: == 0 files can fail" in faults_of_two(BOTH_HOLD, COUNT_ALONE, wide)


def test_a_control_applies_wherever_every_measurement_has_a_bar() -> None:
    """Nobody is let off by saying so: only a measurement without a bar makes a control inapplicable."""
    excused = ControlResult("more", Outcome.FALSIFIED, Outcome.NOT_APPLICABLE, "no bar")
    assert excused.behaved
    assert "there is a bar for every measurement" in faults_of_two(BOTH_HOLD, COUNT_ALONE, LOST_ALONE, excused)
    beyond = replace(GOOD, name="more")
    controls = (GOOD_CONTROL, BAD_CONTROL, excused)
    record = Record("S", "AC-A", "F-A", "a", Outcome.CORROBORATED, "", RunClass.FULL, (GOOD, beyond), controls)
    assert control_faults(record, USE) == ""
    only = replace(
        record, controls=(replace(GOOD_CONTROL, observed=Outcome.NOT_APPLICABLE, measurements=()), BAD_CONTROL)
    )
    assert control_faults(only, USE) == "no control was expected to be corroborated"


# ------------------------------------------------------------------------------------------------ sequential tests

SEQUENTIAL = ThresholdText(
    holds_if=">= 15 %",
    sequential=SequentialText(error_rate=0.05, spending="pocock", problems=164, look_every=8),
)
BROAD = Interval(0.0, 100.0, 0.95, "")
SHARE_USE = FalsifierUse(id="F-S", uses="a-share", thresholds={"share": SEQUENTIAL})


def share_of(passed: int, n: int) -> Measurement:
    """What the declared test gives for these counts."""
    design = SEQUENTIAL.design()
    assert design is not None
    return Measurement("share", 100 * passed / n, "%", n, design.interval(passed, n), ("e" * 64,))


@pytest.mark.parametrize(
    ("passed", "n", "outcome"),
    [(6, 8, "corroborated"), (0, 32, "falsified"), (25, 164, "inconclusive"), (37, 164, "corroborated")],
)
def test_a_run_that_stopped_early_is_decided_by_its_own_interval(passed: int, n: int, outcome: str) -> None:
    """The same comparison as for a fixed sample; in a control, too."""
    found, reason = outcome_of(CRITERION, SHARE_USE, RunClass.FULL, [share_of(passed, n)])
    assert (found, control_outcome(SHARE_USE, [share_of(passed, n)])[0]) == (outcome, outcome)
    assert "[" in reason


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            replace(share_of(6, 8), interval=stats.wilson_interval(6, 8)),
            r"expected \[.*look 1 of 21.*found.*\(Wilson\)",
        ),
        (replace(share_of(6, 8), interval=None), "found no interval"),
        (replace(share_of(6, 8), value=75.001), "expected"),
        (replace(share_of(6, 8), n=7), "no end of the declared sequential test.*looks after 8"),
        (replace(share_of(6, 8), n=164), "no end|expected"),
        (replace(share_of(6, 8), value=62.5), "within the boundaries"),
        (replace(share_of(0, 32), interval=replace(share_of(0, 32).interval or BROAD, high=20.0)), "expected"),
        (replace(share_of(0, 32), interval=replace(share_of(0, 32).interval or BROAD, level=0.9)), "expected"),
    ],
)
def test_an_interval_that_the_declared_test_does_not_give_is_an_error(found: Measurement, message: str) -> None:
    """The judge makes it again from the counts: a fixed-sample interval of a stopped run would claim too much."""
    outcome, reason = outcome_of(CRITERION, SHARE_USE, RunClass.FULL, [found])
    assert outcome is Outcome.ERROR
    assert re.search(message, reason), reason


def test_a_sample_below_the_floor_decides_nothing() -> None:
    """One observation that satisfies the bar is inconclusive where the spec asks for more in such a run."""
    bar = ThresholdText(holds_if="<= 1 files", min_n={RunClass.EMBEDDED: 24, RunClass.FULL: 164})
    use = FalsifierUse(id="F-ONE-0", uses="a-count", thresholds={"count": bar})
    claim = CRITERION.model_copy(update={"falsifiers": (use,)})

    def outcome(n: int, run_class: RunClass) -> tuple[Outcome, str]:
        return outcome_of(claim, use, run_class, [replace(GOOD, n=n)])

    assert outcome(1, RunClass.QUICK)[0] is Outcome.CORROBORATED
    assert outcome(1, RunClass.EMBEDDED) == (
        Outcome.INCONCLUSIVE,
        "count: n = 1, the spec asks for at least 24 in a run of class embedded",
    )
    assert outcome(24, RunClass.EMBEDDED)[0] is Outcome.CORROBORATED
    assert outcome(163, RunClass.FULL)[0] is Outcome.INCONCLUSIVE
    assert control_outcome(use, [replace(GOOD, n=1)])[0] is Outcome.CORROBORATED, "a control has no run class"
