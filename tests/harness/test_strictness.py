"""Which of two demands is the stricter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.outcome import Outcome, RunClass, Severity
from refute.promise import Direction
from refute.strictness import (
    compare_bars,
    compare_excuses,
    compare_run_classes,
    compare_severities,
    compare_timeouts,
    outcome_at,
)
from refute.threshold import Bar, Threshold, parse_bar

LOOSER, TIGHTER, CHANGED, NEUTRAL = Direction.LOOSER, Direction.TIGHTER, Direction.CHANGED, Direction.NEUTRAL
RANKS = (Outcome.FALSIFIED, Outcome.INCONCLUSIVE, Outcome.CORROBORATED)


def threshold(text: str) -> Threshold:
    """`>= 80 %` or `>= 80 % ? < 90 %`, what follows the question mark being inconclusive."""
    bar, _, doubt = text.partition(" ? ")
    return Threshold(parse_bar(bar), parse_bar(doubt) if doubt else None)


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        ("<= 2.2 nat", "<= 4.7 nat", LOOSER),
        ("<= 4.7 nat", "<= 2.2 nat", TIGHTER),
        ("< 2.2 nat", "<= 2.2 nat", LOOSER),
        ("<= 2.2 nat", "< 2.2 nat", TIGHTER),
        (">= 80 %", ">= 79.999999 %", LOOSER),
        (">= 80 %", ">= 80.0 %", NEUTRAL),
        (">= 80 %", "> 80 %", TIGHTER),
        (">= 80 %", "<= 80 %", CHANGED),
        ("== 0 rows", "<= 0 rows", LOOSER),
        ("== 0 rows", "== 1 rows", CHANGED),
        ("<= 3 rows", "== 3 rows", TIGHTER),
        (">= 80 %", ">= 80 points", CHANGED),
        (">= 80 %", ">= 80 % ? < 70 %", LOOSER),
        (">= 80 % ? < 70 %", ">= 80 %", TIGHTER),
        ("<= 5 s ? > 9 s", "<= 5 s ? > 7 s", LOOSER),
        (">= 80 %", ">= 80 % ? > 95 %", TIGHTER),
        (">= 80 %", ">= 85 % ? < 70 %", CHANGED),
        (">= 80 % ? == 80 %", "> 80 % ? == 80 %", TIGHTER),  # an interval that begins at 80 no longer clears it
        ("<= -1e308 x", "<= 1e308 x", LOOSER),
    ],
)
def test_bars_are_compared_by_what_they_do_to_values(old: str, new: str, direction: Direction) -> None:
    """Kinder to some value is looser, harsher is tighter, and both at once is neither."""
    assert compare_bars(threshold(old), threshold(new)) is direction


BARS = st.builds(Bar, st.sampled_from(["<", "<=", ">", ">=", "=="]), st.integers(-3, 3).map(float), st.just("u"))
THRESHOLDS = st.builds(Threshold, BARS, st.none() | BARS)


@given(THRESHOLDS, THRESHOLDS)
def test_a_tighter_threshold_is_kinder_to_no_value(old: Threshold, new: Threshold) -> None:
    """On a grid finer than the bars: what is called tighter or neutral gives no value a better outcome than before."""
    steps = [
        RANKS.index(outcome_at(value / 4, new)) - RANKS.index(outcome_at(value / 4, old)) for value in range(-16, 17)
    ]
    direction = compare_bars(old, new)
    assert direction in (LOOSER, CHANGED) or max(steps) <= 0
    assert direction in (TIGHTER, CHANGED) or min(steps) >= 0


@given(THRESHOLDS, THRESHOLDS)
def test_the_other_way_round_is_the_other_direction(old: Threshold, new: Threshold) -> None:
    """Going back undoes what going there did."""
    back = {LOOSER: TIGHTER, TIGHTER: LOOSER, CHANGED: CHANGED, NEUTRAL: NEUTRAL}
    assert compare_bars(new, old) is back[compare_bars(old, new)]


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


def test_more_time_is_not_looser() -> None:
    """A falsifier that is stopped never passes, so more time only lets it speak."""
    assert compare_timeouts(60.0, 600.0) is NEUTRAL
    assert compare_timeouts(60.0, 6.0) is TIGHTER
