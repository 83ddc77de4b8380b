"""Which of two demands is the stricter."""

from __future__ import annotations

from refute.outcome import RunClass, Severity
from refute.promise import Direction
from refute.strictness import (
    compare_excuses,
    compare_run_classes,
    compare_severities,
    compare_timeouts,
)

LOOSER, TIGHTER, CHANGED, NEUTRAL = Direction.LOOSER, Direction.TIGHTER, Direction.CHANGED, Direction.NEUTRAL


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
