"""Comparing bars: the direction must be that of every measurement there is, not of the two numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.outcome import Interval, Measurement, Outcome
from refute.spec.bars.compare import compare_bars
from refute.spec.bars.threshold import Bar, Threshold, decide, parse_bar

NUMBERS = [-1.5, 0.0, 0.25, 2.0]
ORDER = [Outcome.FALSIFIED, Outcome.INCONCLUSIVE, Outcome.CORROBORATED]
REVERSED = {"neutral": "neutral", "tighter": "looser", "looser": "tighter", "changed": "changed"}

bars = st.builds(Bar, st.sampled_from(["<", "<=", ">", ">=", "=="]), st.sampled_from(NUMBERS), st.just("x"))
thresholds = st.builds(Threshold, bars, st.none() | bars)


def threshold(holds: str, doubt: str | None = None) -> Threshold:
    """A threshold from text."""
    return Threshold(parse_bar(holds), None if doubt is None else parse_bar(doubt))


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """Any measurement near the numbers of the bars: between them, at them, one ulp beside them."""
    near = st.sampled_from(NUMBERS) | st.floats(-3, 3) | st.sampled_from([0.1, 1.0, 5e-324, -5e-324, 0.25 + 2**-54])
    low, value, high = sorted(draw(st.lists(near, min_size=3, max_size=3)))
    interval = draw(st.none() | st.just(Interval(low, high, 0.95, "any")))
    return Measurement("m", value, "x", 1, interval)


@given(thresholds, thresholds, measurements())
def test_no_measurement_contradicts_the_direction(old: Threshold, new: Threshold, measured: Measurement) -> None:
    """Where the new bar is called tighter nothing ends better, where looser worse, where
    neutral otherwise."""
    before, after = (ORDER.index(decide(measured, bar)[0]) for bar in (old, new))
    change = compare_bars(old, new)
    assert change != "neutral" or before == after
    assert change != "tighter" or after <= before
    assert change != "looser" or after >= before


@given(thresholds, thresholds)
def test_exchanging_the_bars_reverses_the_direction(old: Threshold, new: Threshold) -> None:
    """Tighter one way is looser the other way."""
    assert compare_bars(new, old) == REVERSED[compare_bars(old, new)]


@given(thresholds, thresholds, thresholds)
def test_looser_is_transitive(a: Threshold, b: Threshold, c: Threshold) -> None:
    """Two steps that are looser, or the same, cannot add up to a tighter or an incomparable bar."""
    steps = {compare_bars(a, b), compare_bars(b, c)}
    if steps <= {"looser", "neutral"}:
        assert compare_bars(a, c) == ("looser" if "looser" in steps else "neutral")


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (threshold(">= 15 %"), threshold(">= 10 %"), "looser"),
        (threshold(">= 15 %"), threshold("> 15 %"), "tighter"),
        (threshold("<= 2.2 nat"), threshold("<= 4.7 nat"), "looser"),
        (threshold("<= 2.2 nat"), threshold("<= 2.20 nat"), "neutral"),
        (threshold("== 0 files"), threshold("<= 0 files"), "looser"),
        (threshold("<= 1 x"), threshold(">= 1 x"), "changed"),
        (threshold("<= 1 x"), threshold("<= 1 y"), "changed"),
        (threshold("<= 1 x"), threshold("<= 1000 mx"), "changed"),
        # What used to be falsified now decides nothing.
        (threshold(">= 15 %"), threshold(">= 15 %", "< 15 %"), "looser"),
        # What used to hold now decides nothing, too.
        (threshold(">= 15 %"), threshold(">= 15 %", "<= 20 %"), "changed"),
        (threshold("<= 0.05 p"), threshold("<= 0.05 p", "<= 0.01 p"), "tighter"),
        (threshold("<= 1 x", "> 0.5 x"), threshold("<= 1 x", "> 0.5 x"), "neutral"),
        # Alike for every bare value, but not for a value of 2 whose interval reaches 6.
        (threshold("<= 5 x", ">= 3 x"), threshold("<= 7 x", ">= 3 x"), "looser"),
        (threshold("<= 4.7 nat"), threshold("<= 2.2 nat"), "tighter"),
        (threshold("< 2.2 nat"), threshold("<= 2.2 nat"), "looser"),
        (threshold("<= 2.2 nat"), threshold("< 2.2 nat"), "tighter"),
        (threshold(">= 80 %"), threshold(">= 79.999999 %"), "looser"),
        (threshold(">= 80 %"), threshold(">= 80.0 %"), "neutral"),
        (threshold(">= 80 %"), threshold("> 80 %"), "tighter"),
        (threshold(">= 80 %"), threshold("<= 80 %"), "changed"),
        (threshold("== 0 rows"), threshold("<= 0 rows"), "looser"),
        (threshold("== 0 rows"), threshold("== 1 rows"), "changed"),
        (threshold("<= 3 rows"), threshold("== 3 rows"), "tighter"),
        (threshold(">= 80 %"), threshold(">= 80 points"), "changed"),
        (threshold(">= 80 %"), threshold(">= 80 %", "< 70 %"), "looser"),
        (threshold(">= 80 %", "< 70 %"), threshold(">= 80 %"), "tighter"),
        (threshold("<= 5 s", "> 9 s"), threshold("<= 5 s", "> 7 s"), "looser"),
        (threshold(">= 80 %"), threshold(">= 80 %", "> 95 %"), "tighter"),
        (threshold(">= 80 %"), threshold(">= 85 %", "< 70 %"), "changed"),
        (
            threshold(">= 80 %", "== 80 %"),
            threshold("> 80 %", "== 80 %"),
            "tighter",
        ),  # an interval that begins at 80 no longer clears it
        (threshold("<= -1e308 x"), threshold("<= 1e308 x"), "looser"),
    ],
)
def test_known_changes(old: Threshold, new: Threshold, change: str) -> None:
    """Changes whose direction is plain from reading them."""
    assert compare_bars(old, new) == change
