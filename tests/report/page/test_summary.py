"""The first screen must answer in words what the ruling says, with numbers that cannot mislead."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantom_commands import phantom
from refute.judge.predicate.model import Predicate
from refute.judge.run.facts import Signer
from refute.outcome import Interval, Measurement, Outcome, Ruling
from refute.report.page import summary
from refute.report.page.pictures import picture, widths
from refute.report.page.readings import Reading, readings_of, telling, uses_in
from refute.report.page.rounding import bounds, rounded
from refute.report.view import view_of
from refute.spec.bars.threshold import parse_bar

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


def measured(value: float, low: float | None = None, high: float | None = None) -> Measurement:
    """A measurement, with an interval if its ends are given."""
    between = None if low is None or high is None else Interval(low, high, 0.95, "bootstrap")
    return Measurement("heldout_ce", value, "nat/token", 8, between)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (measured(5.10252, 4.74358, 5.46147), "5.10"),
        (measured(3.4120712, 3.398, 3.4262), "3.412"),
        (measured(100 * 3 / 164, 0.624, 5.25), "1.8"),
        (measured(84_962_304.0), "84,962,304"),
        (measured(0.00008544308), "8.54e-05"),
        (measured(12_368.9, 11_000, 13_700), "12,400"),
        (measured(0.0), "0"),
    ],
)
def test_digits_are_those_that_the_interval_supports(found: Measurement, shown: str) -> None:
    """Two digits of the uncertainty, without one three of the value, and whole numbers in full."""
    assert rounded(found) == shown


@given(NUMBERS, st.floats(0, 1e6), st.sampled_from(["< {} x", "<= {} x", "> {} x", ">= {} x", "== {} x"]), NUMBERS)
def test_rounding_never_moves_a_number_across_its_bar(value: float, half: float, text: str, limit: float) -> None:
    """What is read says of the bar what was measured; so does each end of the interval."""
    bar = parse_bar(text.format(repr(limit)))
    found = measured(value, value - half, value + half)
    assert found.interval is not None
    ends = (found.interval.low, found.interval.high)
    for shown, exact in zip((rounded(found, bar), *bounds(found.interval, bar)), (value, *ends), strict=True):
        read = float(shown.replace(",", ""))
        assert (bar.holds(read), read == bar.value) == (bar.holds(exact), exact == bar.value)


def reading(value: float, bar: str, low: float | None = None, high: float | None = None) -> Reading:
    """A reading whose outcome is left to the caller's eye."""
    return Reading("F-1", measured(value, low, high), parse_bar(bar), Outcome.FALSIFIED, ())


def test_a_failure_is_told_with_bar_and_gap() -> None:
    """What was measured, what it must be, by how much it misses."""
    told = summary.sentence(reading(5.10252, "< 3 nat/token", 4.74358, 5.46147))
    assert told == "Heldout ce: 5.10 nat/token (4.74 to 5.46). It must be below 3 nat/token, and misses that by 2.10."
    assert summary.sentence(reading(3.0, "< 3 nat/token")).endswith(
        "It must be below 3 nat/token, and only equals that."
    )


@pytest.mark.parametrize(
    ("value", "bar", "sign"), [(4, "< 3 x", -1), (2, "< 3 x", 1), (4, ">= 3 x", 1), (2, "> 3 x", -1), (4, "== 3 x", -1)]
)
def test_distance_is_positive_on_the_side_that_holds(value: float, bar: str, sign: int) -> None:
    """In widths of the interval: here one is as wide as two."""
    found = reading(value, bar, value - 1, value + 1)
    assert found.distance == sign * 0.5
    assert widths(found) == ("+0.5" if sign > 0 else "-0.5")
    assert reading(value, bar).distance is None
    assert reading(value, bar, value, value).distance is None


@given(st.floats(-1e300, 1e300), st.floats(0, 1e300), st.floats(-1e300, 1e300))
def test_a_picture_stays_within_its_frame(value: float, half: float, limit: float) -> None:
    """Whatever the numbers: every place is finite and inside, or there is nothing to draw."""
    drawn = str(picture(reading(value, f"<= {limit!r} x", value - half, value + half)))
    assert "nan" not in drawn
    assert "inf" not in drawn.replace("information", "")


def test_of_several_readings_the_failing_one_farthest_from_its_bar_is_told() -> None:
    """Not the first, and not one that holds."""
    near, far = reading(2.9, ">= 3 x", 2.8, 3.0), reading(1, ">= 3 x", 0.5, 1.5)
    held = replace(reading(4, ">= 3 x"), outcome=Outcome.CORROBORATED)
    assert telling([held, near, far]) == far
    assert telling([]) is None


def test_a_go_shows_where_it_is_thinnest(predicate: Predicate) -> None:
    """The held criteria closest to their bars in widths of their intervals; without an interval none has any."""
    rulings = tuple(replace(each, outcome=Outcome.CORROBORATED) for each in predicate.verdict.criteria)
    view = view_of(predicate.model_copy(update={"verdict": replace(predicate.verdict, criteria=rulings)}), "0" * 64)
    found = {
        "criterion-4": reading(9, ">= 3 x", 8, 10),
        "criterion-7": reading(4, ">= 3 x", 3.5, 4.5),
    }
    given = {
        row.anchor: (replace(found.get(row.anchor, reading(9, "> 3 x")), outcome=Outcome.CORROBORATED),)
        for row in view.rows
    }
    assert [item.row.anchor for item in summary.narrowest(view, given)] == ["criterion-7", "criterion-4"]


def test_bars_come_from_the_signed_specification_alone(predicate: Predicate) -> None:
    """A specification that cannot be read gives no bar, and no invented one."""
    assert len(readings_of(predicate.records, uses_in(predicate))) == 9
    broken = predicate.specs[0].model_copy(update={"text": "spec: x\n"})
    assert readings_of(predicate.records, uses_in(predicate.model_copy(update={"specs": (broken,)}))) == ()


def ruled(predicate: Predicate, ruling: Ruling, **changes: object) -> Predicate:
    """The same under another ruling."""
    return predicate.model_copy(update={"verdict": replace(predicate.verdict, ruling=ruling), **changes})


def test_only_a_go_that_was_measured_again_under_a_real_key_may_ship(predicate: Predicate) -> None:
    """A development key vouches for nobody, and records alone are what the run says of itself."""
    real = Signer(key_id=predicate.signer.key_id, development=False)
    for ruling, development, remeasured, answer in (
        (Ruling.GO, False, True, "Yes"),
        (Ruling.GO, True, True, "Not on this signature"),
        (Ruling.GO, False, False, "Not yet"),
        (Ruling.WARN, False, True, "Only if somebody answers for it"),
        (Ruling.NO_GO, False, True, "No"),
    ):
        signer = predicate.signer if development else real
        changed = ruled(predicate, ruling, signer=signer, remeasured=remeasured)
        assert summary.may_ship(changed)[0] == answer


def test_next_steps_are_commands_that_exist(predicate: Predicate) -> None:
    """Each once, and each with the options that it is given."""
    for ruling in Ruling:
        steps = summary.next_steps(view_of(ruled(predicate, ruling), "0" * 64))
        assert len({step.command for step in steps}) == len(steps)
        assert [fault for step in steps if (fault := phantom(step.command))] == []
    no_go = summary.next_steps(view_of(predicate, "0" * 64))
    assert no_go[0].command == "refute try distill-teacher-001 --run latest"
    assert any(step.command == "refute gate --release specs/releases/embedded.yaml" for step in no_go)


def test_findings_about_files_are_seen_by_the_command_that_finds_them(predicate: Predicate) -> None:
    """A count of findings sends nobody looking for them."""
    records = tuple(replace(record, uses="student-files-sound") for record in predicate.records)
    commands = [
        step.command
        for step in summary.next_steps(view_of(predicate.model_copy(update={"records": records}), "0" * 64))
    ]
    assert commands.count("refute model lint MODEL") == 1
    assert "refute model lint MODEL" not in [step.command for step in summary.next_steps(view_of(predicate, "0" * 64))]


def test_a_hostile_file_name_is_one_word_of_a_command(predicate: Predicate) -> None:
    """What is copied into a shell runs nothing else."""
    release = predicate.release.model_copy(update={"name": "a; rm -rf $HOME"})
    steps = summary.next_steps(view_of(predicate.model_copy(update={"release": release}), "0" * 64))
    assert any(step.command == "refute gate --release 'a; rm -rf $HOME'" for step in steps)


def test_numbers_that_are_not_finite_are_written_out() -> None:
    """They never pass for a value."""
    assert rounded(measured(math.nan)) == "nan"
