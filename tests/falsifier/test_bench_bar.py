"""Which side of a bar a control's number stands on, wherever the bar lies: values, whole numbers, limits, estimates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute import Bench, Measurement, Outcome, stats
from refute.errors import UnbarredError, UntestableBarError
from refute.falsifier.bench_bar import BenchBar
from refute.spec.bars.threshold import Bar, Threshold, parse_bar

NUMBERS = st.floats(-1e6, 1e6)
OPERATORS = st.sampled_from(["<", "<=", ">", ">=", "=="])


def bar(text: str, doubt: str = "") -> BenchBar:
    """A bar of the measurement `count`."""
    return BenchBar("count", Threshold(parse_bar(text), parse_bar(doubt) if doubt else None))


def bench(*bars: BenchBar) -> Bench:
    """A bench of a use with these bars; nothing is laid out on it."""
    return Bench(Path("unused"), {}, {}, {each.measurement: each for each in bars})


@given(OPERATORS, NUMBERS, NUMBERS, st.booleans())
def test_values_stand_on_their_side(operator: str, bound: float, preferred: float, whole: bool) -> None:
    """Either the preferred number or another of the kind asked for, and on the side asked for."""
    asked = BenchBar("count", Threshold(Bar(operator, math.floor(bound) if whole else bound, "files")))
    wanted = math.floor(preferred) if whole else preferred
    good, bad = asked.holding(wanted, whole=whole), asked.failing(wanted, whole=whole)
    assert (asked.outcome(good), asked.outcome(bad)) == (Outcome.CORROBORATED, Outcome.FALSIFIED)
    assert wanted in (good, bad), "one of both sides holds the preferred number"
    assert not whole or (good == int(good) and bad == int(bad))


@given(OPERATORS, st.floats(0, 100), st.booleans())
def test_values_stay_within_their_limits_or_the_bar_is_refused(operator: str, bound: float, whole: bool) -> None:
    """A refusal is right: no number between the limits, tried one by one, is on that side."""
    asked = BenchBar("count", Threshold(Bar(operator, bound, "%")))
    everything = [*range(101), bound, math.nextafter(bound, -1), math.nextafter(bound, 101)]
    possible = [each for each in everything if 0 <= each <= 100 and (not whole or each == int(each))]
    for find, side in ((asked.holding, Outcome.CORROBORATED), (asked.failing, Outcome.FALSIFIED)):
        try:
            found = find(low=0, high=100, whole=whole)
        except UntestableBarError:
            assert not any(asked.outcome(each) is side for each in possible)
        else:
            assert 0 <= found <= 100
            assert asked.outcome(found) is side


@pytest.mark.parametrize("text", [">= 0 %", "<= 100 %"])
def test_a_bar_that_cannot_fail_is_named(text: str) -> None:
    """Bar, limits and what to do."""
    with pytest.raises(
        UntestableBarError, match=f"the bar `count: {text}` cannot fail: there is no value from 0 to 100"
    ) as found:
        bar(text).failing(low=0, high=100)
    assert "it can fail" in found.value.hint


@pytest.mark.parametrize("text", ["> 100 %", "< 0 %"])
def test_a_bar_that_cannot_hold_is_named(text: str) -> None:
    """The other way round."""
    with pytest.raises(UntestableBarError, match=f"`count: {text}` cannot hold"):
        bar(text).holding(low=0, high=100)


def test_what_decides_nothing_is_on_no_side() -> None:
    """`inconclusive_if` takes its stretch out."""
    doubtful = bar(">= 10 %", "<= 20 %")
    assert doubtful.holding(15) > 20
    with pytest.raises(UntestableBarError, match="cannot fail"):
        doubtful.failing(5)


@pytest.mark.parametrize("text", ["<= 1 nat", "> 1 nat"])
def test_a_clear_value_is_not_on_the_bar(text: str) -> None:
    """What is computed from it may be rounded."""
    for find in (bar(text).holding, bar(text).failing):
        assert bar(text).room(find(clear=True)) > 0
    with pytest.raises(UntestableBarError):
        bar("== 1 nat").holding(clear=True)


@pytest.mark.parametrize("text", ["<= 1 nat", "> 1 nat"])
def test_what_is_off_by_a_little_stays_on_its_side(text: str) -> None:
    """Preferred or not: arithmetic may turn it into any value as near as that."""
    asked = bar(text)
    for find in (asked.holding, asked.failing):
        assert asked.room(find(1.0, 0.95, 1.05, within=0.1)) >= 0.1
    with pytest.raises(UntestableBarError, match=r"no value from 0\.95 to 1\.05, give or take 0\.1, for it"):
        asked.holding(low=0.95, high=1.05, within=0.1)


def test_the_number_of_a_bar_can_be_read() -> None:
    """For controls that are built around it."""
    asked = bar("<= 3 nat")
    assert (asked.bound, asked.room(1.0), asked.satisfied_by(3.0), asked.satisfied_by(3.1)) == (3.0, 2.0, True, False)
    assert not asked.satisfied_by(2.9, stats.mean_interval([1.0, 4.8])[1])


def test_without_a_bar_everything_stands_and_nothing_can_fail() -> None:
    """The control does not apply there."""
    free = bench().bar("count")
    assert free.holding(7) == 7
    assert free.satisfied_by(7)
    assert free.room(7) == math.inf
    with pytest.raises(UnbarredError, match="this use has no bar for count"):
        free.failing()
    with pytest.raises(UnbarredError, match="this use has no bar for count"):
        _ = free.bound


def test_one_value_for_each_measurement() -> None:
    """Those that are to be wrong fail, all others hold; where a bar leaves it, by the numbers given."""
    found = bench(bar("<= 5 files")).values({"count": 0, "lost": 1}, {"count": 2}, low=0, whole=True)
    assert (found["count"] > 5, found["lost"]) == (True, 1)
    with pytest.raises(UnbarredError, match="no bar for lost"):
        bench(bar("<= 5 files")).values({"count": 0, "lost": 0}, {"lost": 1})
    assert bench(bar("<= 5 files")).values({"count": 0}, {"count": 9, "lost": 1})["lost"] == 1


def shares(passed: int) -> Iterator[Measurement]:
    """Of a hundred."""
    yield Measurement("count", passed, "%", n=100, interval=stats.wilson_interval(passed, 100))


@pytest.mark.slow
@given(OPERATORS, st.floats(0, 100))
def test_estimates_are_chosen_with_their_intervals(operator: str, bound: float) -> None:
    """Clear of the bar, or straddling it with the value on the right side; refused where none of all counts is so."""
    asked = BenchBar("count", Threshold(Bar(operator, bound, "%")))
    on = bench(asked)
    for failing, unsure, outcome in (
        ([], [], Outcome.CORROBORATED),
        (["count"], [], Outcome.FALSIFIED),
        ([], ["count"], Outcome.INCONCLUSIVE),
    ):
        fitting = [n for n in range(101) for each in shares(n) if asked.outcome(each.value, each.interval) is outcome]
        if unsure:
            fitting = [n for n in fitting if asked.threshold is not None and asked.threshold.holds_if.holds(n)]
        if fitting:
            assert on.choose(range(101), shares, failing=failing, unsure=unsure) == fitting[0]
        else:
            with pytest.raises(UntestableBarError, match="no evidence of this kind can make"):
                on.choose(range(101), shares, failing=failing, unsure=unsure)


def test_a_choice_about_a_measurement_without_a_bar_does_not_apply() -> None:
    """As with values."""
    with pytest.raises(UnbarredError):
        bench().choose(range(101), shares, failing=["count"])
    assert bench().choose(range(101), shares) == 0
