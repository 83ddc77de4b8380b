"""Bars and decisions: the four cases of an interval, every unusable measurement, and the algebra of many."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refute.outcome import Interval, Measurement, Outcome
from refute.spec.bars.threshold import BAR_PATTERN, Bar, Threshold, decide, decide_all, parse_bar

# Time limits of single examples say nothing on a machine that is busy with other work.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = st.floats(-1e9, 1e9)
OPERATORS = st.sampled_from(["<", "<=", ">", ">=", "=="])
BARS = st.builds(Bar, OPERATORS, NUMBERS, st.just("u"))


@st.composite
def estimates(draw: st.DrawFn) -> Measurement:
    """A usable measurement in the unit "u", with an interval around its value."""
    low, value, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    return Measurement("m", value, "u", n=3, interval=Interval(low, high, 0.95, "test"))


def measured(value: float, low: float | None = None, high: float | None = None) -> Measurement:
    """pass_at_1 in percent, as an estimate if an interval is given."""
    interval = None if low is None or high is None else Interval(low, high, 0.95, "wilson")
    return Measurement("pass_at_1", value, "%", n=164, interval=interval)


def outcome(measurement: Measurement, holds_if: str, inconclusive_if: str | None = None) -> Outcome:
    """What `decide` says, without its reason."""
    doubt = None if inconclusive_if is None else parse_bar(inconclusive_if)
    return decide(measurement, Threshold(parse_bar(holds_if), doubt))[0]


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("<= 1e-3 logit", Bar("<=", 0.001, "logit")),
        ("> 0 nat/token", Bar(">", 0.0, "nat/token")),
        (">= 15 %", Bar(">=", 15.0, "%")),
        ("== 0 tensors", Bar("==", 0.0, "tensors")),
        ("< -.5E+2 u", Bar("<", -50.0, "u")),
        (">=1. u", Bar(">=", 1.0, "u")),
    ],
)
def test_parse_bar_reads_operator_number_and_unit(text: str, bar: Bar) -> None:
    """All five operators and the usual ways to write a number are read."""
    assert parse_bar(text) == bar


@pytest.mark.parametrize(
    "text",
    [
        *("", "15 %", ">= 15", ">= 15%", ">= %", "=> 15 %", "= 15 %", "!= 15 %", ">= 1,5 %", ">= 1_0 %"),
        *(">= nan %", ">= inf %", ">= 0x1 %", ">= 15 a b", " >= 15 %", ">= 15 % ", ">= 15 %\n", ">= 1\n%"),
        ">= \u0663 %",
    ],
)  # fmt: skip
def test_parse_bar_refuses_anything_else(text: str) -> None:
    """A bar that is not exactly operator, number, unit is refused, never half read."""
    with pytest.raises(ValueError, match="expected an operator"):
        parse_bar(text)


def test_parse_bar_refuses_a_number_beyond_range() -> None:
    """A bar at infinity could not fail."""
    with pytest.raises(ValueError, match="must be finite"):
        parse_bar("<= 1e999 nat")


@BUSY
@given(st.builds(Bar, OPERATORS, st.floats(allow_nan=False, allow_infinity=False), st.just("nat/token")))
def test_bar_text_is_read_back_unchanged(bar: Bar) -> None:
    """Nothing of a bar is lost or rounded in its text, which also fits the pattern of the JSON Schema."""
    assert parse_bar(str(bar)) == bar
    assert re.search(BAR_PATTERN, str(bar))


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (14.0, {"<", "<="}),
        (15.0, {"<=", ">=", "=="}),
        (16.0, {">", ">="}),
    ],
)
def test_value_without_interval_decides_for_each_operator(value: float, holds: set[str]) -> None:
    """Below, at and above the bar, each operator holds exactly where it should."""
    found = {sign: outcome(measured(value), f"{sign} 15 %") for sign in ("<", "<=", ">", ">=", "==")}
    assert {sign for sign, each in found.items() if each is Outcome.CORROBORATED} == holds
    assert {each for sign, each in found.items() if sign not in holds} == {Outcome.FALSIFIED}


@pytest.mark.parametrize(
    ("low", "high", "bar", "expected"),
    [
        (15.0, 20.0, ">= 15 %", Outcome.CORROBORATED),
        (15.0, 20.0, "> 15 %", Outcome.INCONCLUSIVE),
        (14.0, 20.0, ">= 15 %", Outcome.INCONCLUSIVE),
        (10.0, 15.0, ">= 15 %", Outcome.INCONCLUSIVE),
        (10.0, 15.0, "> 15 %", Outcome.FALSIFIED),
        (10.0, 14.0, ">= 15 %", Outcome.FALSIFIED),
        (10.0, 15.0, "<= 15 %", Outcome.CORROBORATED),
        (15.0, 20.0, "<= 15 %", Outcome.INCONCLUSIVE),
        (15.0, 20.0, "< 15 %", Outcome.FALSIFIED),
        (15.0, 15.0, "== 15 %", Outcome.CORROBORATED),
        (14.0, 15.0, "== 15 %", Outcome.INCONCLUSIVE),
        (14.0, 16.0, "== 15 %", Outcome.INCONCLUSIVE),
        (16.0, 17.0, "== 15 %", Outcome.FALSIFIED),
        (13.0, 14.0, "== 15 %", Outcome.FALSIFIED),
    ],
)
def test_interval_decides_only_as_a_whole(low: float, high: float, bar: str, expected: Outcome) -> None:
    """All of the interval must satisfy the bar, none of it refutes, anything between decides nothing."""
    assert outcome(measured(low, low, high), bar) is expected
    assert outcome(measured(high, low, high), bar) is expected


@pytest.mark.parametrize(("value", "expected"), [(3.0, Outcome.INCONCLUSIVE), (5.0, Outcome.CORROBORATED)])
def test_inconclusive_if_overrides_the_bar_for_its_values_only(value: float, expected: Outcome) -> None:
    """Declared doubt turns a held claim into inconclusive, and touches no other value."""
    assert outcome(measured(value), ">= 1 %", "< 4 %") is expected
    assert outcome(measured(-1.0), ">= 1 %", "== -1 %") is Outcome.INCONCLUSIVE
    assert outcome(measured(0.0), ">= 1 %", "== -1 %") is Outcome.FALSIFIED


GOOD = measured(20.0, 18.0, 22.0)
UNUSABLE = [
    (replace(GOOD, n=0), "n = 0"),
    (replace(GOOD, n=-1), "n = -1"),
    (replace(GOOD, n=1.5), "n = 1.5"),  # type: ignore[arg-type]  # what a careless falsifier may return
    (replace(GOOD, n=True), "n = True"),
    (replace(GOOD, value=math.nan), "not a finite number"),
    (replace(GOOD, value=math.inf), "not a finite number"),
    (replace(GOOD, value=10**400), "not a finite number"),
    (replace(GOOD, value="20"), "not a finite number"),  # type: ignore[arg-type]  # as above
    (replace(GOOD, value=True), "not a finite number"),
    (replace(GOOD, value=None), "not a finite number"),  # type: ignore[arg-type]  # as above
    (replace(GOOD, unit="share"), "measured in 'share'"),
    (measured(20.0, math.nan, 22.0), "is not finite"),
    (measured(20.0, 18.0, math.inf), "is not finite"),
    (measured(20.0, 22.0, 18.0), "upside down"),
    (measured(17.0, 18.0, 22.0), "outside its own"),
    (measured(23.0, 18.0, 22.0), "outside its own"),
    (replace(GOOD, interval=Interval(18.0, 22.0, math.nan, "m")), "is not finite"),
    (replace(GOOD, interval=Interval(18.0, 22.0, 0.0, "m")), "level lies between"),
    (replace(GOOD, interval=Interval(18.0, 22.0, 1.0, "m")), "level lies between"),
]


@pytest.mark.parametrize(("measurement", "message"), UNUSABLE)
def test_unusable_measurement_is_an_error_even_where_doubt_is_declared(measurement: Measurement, message: str) -> None:
    """Nothing that cannot be compared ever corroborates, falsifies or hides behind `inconclusive_if`."""
    for doubt in (None, parse_bar("> -1e300 %")):
        found, reason = decide(measurement, Threshold(parse_bar(">= 15 %"), doubt))
        assert found is Outcome.ERROR
        assert message in reason
        assert reason.startswith("pass_at_1: ")


def test_unit_of_the_doubt_must_match_too() -> None:
    """A doubt in another unit is not compared with the value."""
    assert outcome(measured(20.0), ">= 15 %", "< 1 share") is Outcome.ERROR


# 16 is 1 above the bar, and its interval reaches 5 below it: five times as near, so 25 times as many.
NEEDED = "at this value about 4,100 observations would decide, not 164"


@pytest.mark.parametrize(
    ("measurement", "bar", "reason"),
    [
        (
            measured(0.61, 0.1, 3.4),
            ">= 15 %",
            "pass_at_1 = 0.61 % [0.1, 3.4] misses >= 15 % by 14.39 %",
        ),
        (measured(4.0), "<= 3 %", "pass_at_1 = 4 % misses <= 3 % by 1 %"),
        (measured(3.0), "< 3 %", "pass_at_1 = 3 % only equals < 3 %"),
        (measured(2.0), "== 0 %", "pass_at_1 = 2 % misses == 0 % by 2 %"),
        (measured(16.0, 11.0, 22.0), ">= 15 %", f"pass_at_1 = 16 % [11, 22] straddles >= 15 %; {NEEDED}"),
        (measured(1e-4), "<= 1e-3 %", "pass_at_1 = 0.0001 % satisfies <= 0.001 %"),
    ],
)  # fmt: skip
def test_reason_shows_value_interval_bar_and_gap(measurement: Measurement, bar: str, reason: str) -> None:
    """A reader sees from the reason alone what was measured and by how much it misses."""
    assert decide(measurement, Threshold(parse_bar(bar)))[1] == reason


@BUSY
@given(estimates(), BARS)
def test_bar_and_its_opposite_are_never_decided_alike(measurement: Measurement, bar: Bar) -> None:
    """A claim and its negation are never both corroborated and never both falsified."""
    opposite = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}
    if bar.operator not in opposite:
        return
    one = decide(measurement, Threshold(bar))[0]
    other = decide(measurement, Threshold(replace(bar, operator=opposite[bar.operator])))[0]
    decided = {Outcome.CORROBORATED: Outcome.FALSIFIED, Outcome.FALSIFIED: Outcome.CORROBORATED}
    assert other is decided.get(one, Outcome.INCONCLUSIVE)


@BUSY
@given(estimates(), NUMBERS, st.sampled_from([">", ">="]), st.floats(0, 1e9))
def test_better_measurement_is_never_judged_worse(
    measurement: Measurement, value: float, sign: str, gain: float
) -> None:
    """Raising a value and its interval together never worsens its outcome against a lower bound."""
    interval = measurement.interval
    assert interval is not None
    raised = replace(
        measurement,
        value=measurement.value + gain,
        interval=replace(interval, low=interval.low + gain, high=interval.high + gain),
    )
    threshold = Threshold(Bar(sign, value, "u"))
    assert decide(raised, threshold)[0].rank <= decide(measurement, threshold)[0].rank


def test_decide_all_names_what_fails_and_only_that() -> None:
    """The reason joins the failing measurements; when all hold it shows all values."""
    good, bad = measured(20.0), replace(measured(1.0), name="other")
    bar = Threshold(parse_bar(">= 15 %"))
    assert decide_all([good, bad], {"pass_at_1": bar, "other": bar}) == (
        Outcome.FALSIFIED,
        "other = 1 % misses >= 15 % by 14 %",
    )
    found, reason = decide_all([good, replace(good, name="other")], {"pass_at_1": bar, "other": bar})
    assert found is Outcome.CORROBORATED
    assert reason == "other = 20 % satisfies >= 15 %; pass_at_1 = 20 % satisfies >= 15 %"


@pytest.mark.parametrize(
    ("measurements", "names", "message"),
    [
        ([], ["pass_at_1"], "pass_at_1 was not measured (measured: nothing)"),
        ([GOOD], ["pass_at_1", "kl"], "kl was not measured (measured: pass_at_1)"),
        ([GOOD, GOOD], ["pass_at_1"], "measured more than once: pass_at_1"),
        ([GOOD], [], "no thresholds: nothing was decided"),
        ([], [], "no thresholds: nothing was decided"),
    ],
)
def test_decide_all_never_passes_on_missing_or_double_evidence(
    measurements: list[Measurement], names: list[str], message: str
) -> None:
    """What is not measured, or measured twice, is an error, even beside a success."""
    thresholds = {name: Threshold(parse_bar(">= 15 %")) for name in names}
    assert decide_all(measurements, thresholds) == (Outcome.ERROR, message)


def test_decide_all_ignores_measurements_without_a_bar() -> None:
    """A measurement that is only shown decides nothing."""
    thresholds = {"pass_at_1": Threshold(parse_bar(">= 15 %"))}
    assert decide_all([GOOD, replace(GOOD, name="shown", n=0)], thresholds)[0] is Outcome.CORROBORATED
