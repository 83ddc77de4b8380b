"""The built-in falsifiers under the bars of the shipped specs: each use is shown able to pass, and able to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from builtin_uses import REGISTRY, USES
from refute import Measurement, Outcome
from refute.falsifier.controls import Control
from refute.falsifier.registry import Falsifier
from refute.spec.bars.decide import control_outcome
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import FalsifierUse

BARS = [(use, name) for use in USES for name in sorted(use.thresholds)]
Measured = Callable[[FalsifierUse, Control], tuple[Measurement, ...]]


def falsifier_of(use: FalsifierUse) -> Falsifier:
    """The declared falsifier of a use."""
    assert use.uses is not None
    return REGISTRY[use.uses]


def usable(use: FalsifierUse) -> list[Control]:
    """The controls that are measured, and not refused."""
    return [control for control in falsifier_of(use).controls if control.expected is not Outcome.ERROR]


@pytest.mark.parametrize("use", USES, ids=[use.id for use in USES])
def test_every_control_gives_its_outcome_under_the_spec(use: FalsifierUse, measured: Measured) -> None:
    """Under the very bars that judge the release."""
    for control in falsifier_of(use).controls:
        if control.expected is Outcome.ERROR:
            with pytest.raises(control.raises):
                measured(use, control)
            continue
        outcome, reason = control_outcome(use, measured(use, control))
        assert outcome is control.expected, f"{control.name}: {reason}"


@pytest.mark.parametrize(("use", "name"), BARS, ids=[f"{use.id}-{name}" for use, name in BARS])
def test_a_bar_that_accepts_anything_is_found_out(use: FalsifierUse, name: str, measured: Measured) -> None:
    """Loosen any one bar until nothing fails it: a known-bad control of this use gets through and says so."""
    unit = use.thresholds[name].parsed().holds_if.unit
    loosened = replace_bar(use, name, f">= -1e300 {unit}")
    outcomes = [
        (control.name, control.expected, control_outcome(loosened, measured(use, control))[0])
        for control in usable(use)
    ]
    assert [name for name, expected, observed in outcomes if expected is not observed]


@pytest.mark.parametrize(("use", "name"), BARS, ids=[f"{use.id}-{name}" for use, name in BARS])
def test_a_bar_that_accepts_nothing_is_found_out(use: FalsifierUse, name: str, measured: Measured) -> None:
    """Tighten any one bar until nothing clears it: the known-good control falls."""
    unit = use.thresholds[name].parsed().holds_if.unit
    tightened = replace_bar(use, name, f">= 1e300 {unit}")
    good = [control for control in falsifier_of(use).controls if control.expected is Outcome.CORROBORATED]
    assert [control_outcome(tightened, measured(use, control))[0] for control in good] == [Outcome.FALSIFIED] * len(
        good
    )


def replace_bar(use: FalsifierUse, name: str, bar: str) -> FalsifierUse:
    """The use with one bar replaced."""
    return use.model_copy(update={"thresholds": {**use.thresholds, name: ThresholdText(holds_if=bar)}})


@pytest.mark.parametrize("use", USES, ids=[use.id for use in USES])
def test_every_measurement_has_a_bar_and_its_unit(use: FalsifierUse, measured: Measured) -> None:
    """Nothing is measured and then not judged, and every falsifier gives all that it declares."""
    measures = falsifier_of(use).measures
    assert {name: text.parsed().holds_if.unit for name, text in use.thresholds.items()} == measures
    for control in usable(use):
        found = measured(use, control)
        assert sorted(each.name for each in found) == sorted(measures)
        assert all(each.n >= 1 for each in found)


def test_every_falsifier_is_used() -> None:
    """What no criterion uses protects nothing."""
    assert sorted(REGISTRY) == sorted({use.uses or "" for use in USES})


@pytest.mark.parametrize("name", REGISTRY)
def test_every_control_says_what_it_is(name: str) -> None:
    """By a docstring, or by a name of several words; no control is there twice."""
    for control in REGISTRY[name].controls:
        assert inspect.getdoc(control.build) or len(control.name.split()) > 1, control.name
    assert len({control.build for control in REGISTRY[name].controls}) == len(REGISTRY[name].controls)
