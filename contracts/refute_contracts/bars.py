"""What an estimate says about a bar: all of its interval decides, and nothing that is not a finite number."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.outcome import Interval, Measurement, Outcome, RunClass
from refute.spec.bars.decide import outcome_of
from refute.spec.bars.text import ThresholdText
from refute.spec.bars.threshold import Bar, Threshold, decide, decide_all
from refute.spec.criteria import FalsifierUse
from refute_contracts.verdict_cases import criterion

_NUMBER = st.floats(-1e6, 1e6)
BARS = st.builds(Bar, st.sampled_from(["<", "<=", ">", ">=", "=="]), st.sampled_from([-1.0, 0.0, 2.5]), st.just("u"))


@st.composite
def estimates(draw: st.DrawFn) -> Measurement:
    """A measurement with an interval around it."""
    low, value, high = sorted(draw(st.tuples(*[_NUMBER | st.sampled_from([-1.0, 0.0, 2.5])] * 3)))
    return Measurement("m", value, "u", 1, Interval(low, high, 0.95, "i"))


@given(measurement=estimates(), bar=BARS)
def intervals_decide_as_a_whole(measurement: Measurement, bar: Bar) -> None:
    """Corroborated exactly if every point satisfies the bar, falsified exactly if none does."""
    interval = measurement.interval
    assert interval is not None
    inside = [interval.low, interval.high, *([bar.value] if interval.low <= bar.value <= interval.high else [])]
    holds = [bar.holds(point) for point in inside]
    all_of_it = interval.low == interval.high == bar.value if bar.operator == "==" else all(holds)
    expected = Outcome.CORROBORATED if all_of_it else Outcome.INCONCLUSIVE if any(holds) else Outcome.FALSIFIED
    assert decide(measurement, Threshold(bar))[0] is expected


@given(measurement=estimates(), bar=BARS, bad=st.sampled_from([math.nan, math.inf, -math.inf]), place=st.integers(0, 2))
def numbers_that_are_not_finite_are_errors(measurement: Measurement, bar: Bar, bad: float, place: int) -> None:
    """In the value or in either end of the interval."""
    interval = measurement.interval
    assert interval is not None
    broken = (
        replace(measurement, value=bad),
        replace(measurement, interval=replace(interval, low=bad)),
        replace(measurement, interval=replace(interval, high=bad)),
    )[place]
    assert decide(broken, Threshold(bar))[0] is Outcome.ERROR


@given(pairs=st.lists(st.tuples(estimates(), BARS), min_size=1, max_size=4), missing=st.booleans())
def several_bars_are_the_worst_of_them(pairs: list[tuple[Measurement, Bar]], missing: bool) -> None:
    """No part's failure is hidden by another's success, and what was not measured is an error."""
    measurements = [replace(m, name=f"m{index}") for index, (m, _) in enumerate(pairs)]
    thresholds = {f"m{index}": Threshold(bar) for index, (_, bar) in enumerate(pairs)}
    parts = [decide(m, thresholds[m.name])[0] for m in measurements]
    found = decide_all(measurements[1:] if missing else measurements, thresholds)[0]
    expected = [Outcome.ERROR, *parts[1:]] if missing else parts
    assert found is max(expected, key=list(Outcome).index)


_FLOORS = st.dictionaries(st.sampled_from(RunClass), st.integers(1, 9), max_size=3)


@given(floors=_FLOORS, n=st.integers(1, 9), value=st.sampled_from([0.0, 2.0]))
def few_observations_decide_nothing(floors: dict[RunClass, int], n: int, value: float) -> None:
    """A run corroborates only with all that its class, and each smaller one, asks for; what it falsifies, stays so."""
    text = ThresholdText(holds_if="<= 1 u", min_n=floors)
    use = FalsifierUse(id="F-ONE-0", uses="one", thresholds={"m": text})
    claim = criterion("ONE").model_copy(update={"falsifiers": (use,)})
    measured = [Measurement("m", value, "u", n, evidence=("e" * 64,))]
    for place, run_class in enumerate(RunClass):
        asked = [floors[each] for each in list(RunClass)[: place + 1] if each in floors]
        enough = Outcome.CORROBORATED if n >= max(asked, default=1) else Outcome.INCONCLUSIVE
        found = outcome_of(claim, use, run_class, measured)[0]
        assert found is (enough if value == 0.0 else Outcome.FALSIFIED)


floors_unseen = Rewrite("refute.spec.bars.decide:_too_few", {"if each.n <": "if 0 <"})
floors_of_another_class = Rewrite(
    "refute.spec.bars.text:ThresholdText.least_n", {"if run_class.reaches(each)": "if run_class is each"}
)
floors_hide_failures = Rewrite(
    "refute.spec.bars.decide:outcome_of", {"if outcome is Outcome.CORROBORATED and (short": "if (short"}
)
_DECIDE = "refute.spec.bars.threshold:decide"
value_for_interval = Rewrite(_DECIDE, {"low, high = _range(measurement)": "low = high = measurement.value"})
any_point_corroborates = Rewrite(_DECIDE, {"if every:": "if some:"})
nan_is_a_number = Rewrite("refute.spec.bars.threshold:_is_finite", {"return math.isfinite(number)": "return True"})
best_of_bars = Rewrite(
    "refute.spec.bars.threshold:decide_all",
    {"worst([outcome for outcome, _ in decisions])": "min((each[0] for each in decisions), key=list(Outcome).index)"},
)
unmeasured_is_left_out = Rewrite(
    "refute.spec.bars.threshold:decide_all",
    {"for name in sorted(thresholds)": "for name in sorted(thresholds) if name in by_name or len(thresholds) == 1"},
)
