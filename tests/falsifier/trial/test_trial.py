"""Falsifiers in a forked child: what counts as a measurement, and what controls are shown."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refute import Bench, Context, Interval, Measurement, known_bad, known_good
from refute.falsifier.context import Evidence
from refute.falsifier.trial import FaultKind, Trial, TrialResult
from trials import GOOD, NOTHING, attempt, giving


def broken(**changes: Any) -> Measurement:
    """A measurement as a careless author writes it."""
    return replace(GOOD, **changes)


def lay_out(bench: Bench) -> None:
    """One file, so that a control has something to be read."""
    bench.put("corpus", "a.json", {"count": 7})


def test_measurements_come_back_as_they_were_given(log: Path) -> None:
    """Value, unit, n, interval and evidence survive the way out of the child."""
    found = replace(GOOD, value=1 / 3, interval=Interval(0.1, 0.9, 0.95, "Wilson"))
    assert attempt(giving(found), log) == Trial({}, TrialResult((found,)))


def test_files_that_were_read_become_the_evidence(log: Path, evidence: dict[str, Evidence]) -> None:
    """A measurement rests on what was read before it, and on nothing when nothing was read."""

    def measure(context: Context) -> Iterator[Measurement]:
        """Reads, then measures."""
        count = context.evidence("corpus").json("a.json")["count"]
        yield Measurement("count", count, "files", n=1)

    assert attempt(measure, log, evidence).real.measurements[0].evidence == ("f" * 64,)
    assert attempt(giving(replace(GOOD, evidence=())), log, evidence).real.measurements[0].evidence == ()
    assert evidence["corpus"]._read == set(), "the parent's evidence takes no note of what a child reads"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (np.float32(0.5), 0.5), (np.int64(7), 7.0), (np.float64(0.1), 0.1), (Fraction(1, 4), 0.25)],
)
def test_numbers_of_every_kind_are_accepted(log: Path, value: Any, expected: float) -> None:
    """Integers, numpy's scalars and fractions, in the value, n and the interval's ends."""
    level: Any = np.float32(0.5)
    given = broken(value=value, n=np.int64(4), interval=Interval(value, value, level, "exact"))
    (found,) = attempt(giving(given), log).real.measurements
    assert (found.value, found.n, found.interval) == (expected, 4, Interval(expected, expected, 0.5, "exact"))
    assert (type(found.value), type(found.n)) == (float, int)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (broken(value=float("nan")), "'count' = nan, which is not finite"),
        (broken(value=float("-inf")), "'count' = -inf, which is not finite"),
        (broken(value=np.float32("nan")), "which is not finite"),
        (broken(value=True), "'count' = True, which is not a number"),
        (broken(value=np.True_), "which is not a number"),
        (broken(value="3"), "'count' = '3', which is not a number"),
        (broken(value=None), "'count' = None, which is not a number"),
        (broken(value=3 + 0j), "which is not a number"),
        (broken(value=np.array([1.0, 2.0])), "which is not a number"),
        (broken(value=10**400), "OverflowError"),
        (broken(unit="lines"), "'count' in 'lines', but declares 'files'"),
        (broken(name="total"), "'total', which it does not declare in `measures`"),
        (broken(n=2.5), "raised TypeError"),
        (broken(n=float("nan")), "raised TypeError"),
        (broken(n=None), "raised TypeError"),
        (broken(evidence="abc"), "a measurement that is not one: .*evidence"),
        (broken(evidence=(1, 2)), "a measurement that is not one: .*evidence"),
        (broken(interval=(0.0, 1.0)), "an interval that is a tuple"),
        (broken(interval=Interval(float("nan"), 1.0, 0.95, "x")), "which is not finite"),
        (broken(interval=Interval(0.0, float("inf"), 0.95, "x")), "which is not finite"),
        (broken(interval=Interval(0.0, 1.0, 0.95, NOTHING)), "a measurement that is not one: .*method"),
        (3.0, "must give Measurements, gave float"),
        (("count", 3.0), "must give Measurements, gave tuple"),
        (None, "must give Measurements, gave NoneType"),
    ],
)
def test_what_is_no_measurement_is_a_fault(log: Path, found: Any, fault: str) -> None:
    """Not finite, not a number, another unit, an undeclared name, a broken interval: each says what it was."""
    answer = attempt(giving(found), log).real
    assert answer.measurements == ()
    assert answer.kind is FaultKind.FAILED
    assert re.search(fault, answer.fault), answer.fault


def test_a_measurement_twice_is_a_fault(log: Path) -> None:
    """Also without end: the second of one name ends it."""

    def measure(context: Context) -> Iterator[Measurement]:
        """Never stops."""
        while True:
            yield GOOD

    assert "gave 'count' twice" in attempt(measure, log).real.fault


@pytest.mark.parametrize("result", [None, (), [], iter(())])
def test_no_measurement_is_no_fault_of_its_own(log: Path, result: Any) -> None:
    """The thresholds say what is missing; nothing is made up here."""
    assert attempt(lambda _: result, log).real == TrialResult()


def read_count(context: Context) -> Iterator[Measurement]:
    """Measures what the file says."""
    yield Measurement("count", context.evidence("corpus").json("a.json")["count"], "files", n=1)


def test_controls_are_shown_their_own_evidence(log: Path, evidence: dict[str, Evidence]) -> None:
    """Each control on its own bench, then the real evidence; answers are kept by name."""

    def forged(bench: Bench) -> None:
        """From the run's own evidence, with a change."""
        count = bench.real["corpus"].json("a.json")["count"]
        bench.put("corpus", "a.json", {"count": 100 * count + int(bench.parameters["step"])})

    controls = (known_good(lay_out), known_bad(forged))
    trial = attempt(read_count, log, evidence, controls=controls, parameters={"step": 5})
    values = {name: answer.measurements[0].value for name, answer in trial.controls.items()}
    assert values == {"lay out": 7.0, "forged": 305.0}
    assert trial.real.measurements[0].value == 3.0


@pytest.mark.slow
def test_a_control_that_fails_to_build_is_a_fault_of_that_control(log: Path, evidence: dict[str, Evidence]) -> None:
    """The other controls and the real evidence are tried nevertheless."""

    def broken(bench: Bench) -> None:
        """A bug in the control."""
        raise ZeroDivisionError

    def endless(bench: Bench) -> None:
        """A control that hangs."""
        time.sleep(600)

    controls = (known_good(lay_out), known_bad(broken), known_bad(endless))
    trial = attempt(read_count, log, evidence, controls=controls, timeout_s=4.0)
    assert "raised ZeroDivisionError" in trial.controls["broken"].fault
    assert trial.controls["endless"].kind is FaultKind.TIMED_OUT
    assert trial.controls["lay out"].measurements
    assert trial.real.measurements


def test_a_control_that_tampers_with_real_evidence_does_not_reach_the_falsifier(
    log: Path, evidence: dict[str, Evidence]
) -> None:
    """What a control does to its copy of the evidence ends with the control's process."""

    def vandal(bench: Bench) -> None:
        """Takes the real files away."""
        bench.put("corpus", "a.json", {"count": 1})
        bench.real["corpus"].files.clear()  # type: ignore[attr-defined]  # vandalism

    trial = attempt(read_count, log, evidence, controls=(known_bad(vandal),))
    assert trial.controls["vandal"].measurements[0].value == 1.0
    assert trial.real.measurements[0].value == 3.0


def test_benches_are_thrown_away(log: Path, evidence: dict[str, Evidence], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a trial stays in the temporary folder."""
    place = log.parent / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    attempt(read_count, log, evidence, controls=(known_good(lay_out),))
    assert list(place.iterdir()) == []
