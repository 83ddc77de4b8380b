"""Which of two demands is the stricter."""

from __future__ import annotations

import pytest

from refute.outcome import Direction, RunClass, Severity
from refute.spec.bars.compare import (
    compare_dates,
    compare_excuses,
    compare_run_classes,
    compare_severities,
    compare_thresholds,
    compare_timeouts,
)
from refute.spec.bars.text import SequentialText, ThresholdText

LOOSER, TIGHTER, CHANGED, NEUTRAL = Direction.LOOSER, Direction.TIGHTER, Direction.CHANGED, Direction.NEUTRAL


@pytest.mark.parametrize(
    "edit", [{"error_rate": 0.4}, {"spending": "obrien_fleming"}, {"problems": 80}, {"look_every": 4}, {"seed": 18}]
)
def test_another_sequential_test_is_another_bar(edit: dict[str, object]) -> None:
    """Whatever differs in how a bar may be decided early: nobody can say that it is as strict, and both are shown."""
    plan: dict[str, object] = {"error_rate": 0.05, "spending": "pocock", "problems": 160, "look_every": 8, "seed": 17}
    old, new = (
        ThresholdText(holds_if=">= 15 %", sequential=SequentialText.model_validate(each))
        for each in (plan, plan | edit)
    )
    assert compare_thresholds(old, new) is CHANGED
    assert compare_thresholds(old, ThresholdText(holds_if=">= 15 %")) is CHANGED
    assert compare_thresholds(old, old.model_copy(update={"holds_if": ">= 14.5 %"})) is LOOSER
    assert str(old.sequential) != str(new.sequential)


def test_fewer_observations_demand_less() -> None:
    """A lower floor is looser in any class of run, beside a bar that stays; one that goes up elsewhere is `changed`."""

    def bar(embedded: int, full: int, holds_if: str = ">= 15 %") -> ThresholdText:
        return ThresholdText(holds_if=holds_if, min_n={RunClass.EMBEDDED: embedded, RunClass.FULL: full})

    without = ThresholdText(holds_if=">= 15 %")
    assert compare_thresholds(bar(24, 164), bar(20, 164)) is LOOSER
    assert compare_thresholds(bar(24, 164), without) is LOOSER
    assert compare_thresholds(without, bar(24, 24)) is TIGHTER
    assert compare_thresholds(bar(24, 164), bar(32, 100)) is CHANGED
    assert compare_thresholds(bar(24, 164), bar(20, 164, ">= 16 %")) is CHANGED
    assert compare_thresholds(bar(24, 24), ThresholdText(holds_if=">= 15 %", min_n={RunClass.EMBEDDED: 24})) is NEUTRAL
    assert str(bar(24, 164)) == ">= 15 %, n >= 24 in a run of class embedded, n >= 164 in a run of class full"


def test_a_later_date_demands_less() -> None:
    """A criterion that blocks from a date on blocks later where the date is moved back."""
    assert compare_dates(None, "2030-01-01") is LOOSER
    assert compare_dates("2029-12-31", "2030-01-01") is LOOSER
    assert compare_dates("2030-01-01", None) is TIGHTER
    assert compare_dates("2030-01-01", "2030-01-01") is NEUTRAL


def test_severities_and_run_classes_have_an_order() -> None:
    """block > warn > info; full > embedded > quick > none in particular."""
    assert compare_severities(Severity.BLOCK, Severity.WARN) is LOOSER
    assert compare_severities(Severity.INFO, Severity.WARN) is TIGHTER
    assert compare_run_classes(RunClass.FULL, RunClass.QUICK) is LOOSER
    assert compare_run_classes(RunClass.QUICK, None) is LOOSER
    assert compare_run_classes(None, RunClass.EMBEDDED) is TIGHTER
    assert compare_run_classes(RunClass.FULL, RunClass.FULL) is NEUTRAL


def test_an_excuse_that_was_not_there_is_looser() -> None:
    """A criterion that may now be excused demands less; one that no longer may, more; another excuse, who knows."""
    assert compare_excuses({}, {"run_class": "quick"}) is LOOSER
    assert compare_excuses({"run_class": "quick"}, {}) is TIGHTER
    assert compare_excuses({"run_class": "quick"}, {"run_class": "full"}) is CHANGED
    assert compare_excuses({"a": 1}, {"a": 1, "b": 2}) is TIGHTER
    assert compare_excuses({"a": 1, "b": 2}, {"a": 1}) is LOOSER
    assert compare_excuses({"a": 1}, {"a": True}) is CHANGED
    assert compare_excuses({"a": 1}, {"a": 1}) is NEUTRAL


def test_more_time_is_not_looser() -> None:
    """A falsifier that is stopped never passes, so more time only lets it speak."""
    assert compare_timeouts(60.0, 600.0) is NEUTRAL
    assert compare_timeouts(60.0, 6.0) is TIGHTER
