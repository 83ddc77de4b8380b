"""Tolerances: each kind measures its own distance, and nothing that is not a number is admitted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.tolerance import Tolerance

UNITS = {"abs": "logit", "rel": "1", "ulp": "float64", "nat": "nat/token", "pp": "%"}


def tolerance(kind: Any, value: float, unit: str = "") -> Tolerance:
    """Of this kind, in its usual unit."""
    return Tolerance(kind=kind, value=value, unit=unit or UNITS[kind], source="a test")


@pytest.mark.parametrize(
    ("kind", "within", "beyond"),
    [
        ("abs", ([1.0, 5.0], [1.5, 5.0]), ([1.0, 5.0], [1.0, 5.6])),
        ("nat", (-1.0, -0.5), (-1.0, -0.4)),
        ("pp", (50.0, 50.5), (50.0, 50.6)),
        ("rel", ([3.0, 6.0], [3.0, 4.0]), ([3.0, 6.6], [3.0, 4.0])),
    ],
)
def test_the_largest_distance_counts(kind: str, within: Any, beyond: Any) -> None:
    """A half is admitted and a bit more is not; `rel` is a share of the norm of what was expected."""
    assert tolerance(kind, 0.5).admits(*within)
    assert not tolerance(kind, 0.5).admits(*beyond)


def test_ulps_count_representable_numbers() -> None:
    """Neighbours are one apart, also across zero and in float32; 0.0 and -0.0 are equal."""
    up = math.nextafter(1.0, 2.0)
    assert tolerance("ulp", 1).admits(up, 1.0)
    assert not tolerance("ulp", 1).admits(math.nextafter(up, 2.0), 1.0)
    assert tolerance("ulp", 2).admits(5e-324, -5e-324)
    assert not tolerance("ulp", 1).admits(5e-324, -5e-324)
    assert tolerance("ulp", 0).admits(0.0, -0.0)
    assert tolerance("ulp", 1, "float32").admits(1.0 + 2**-23, 1.0)
    assert not tolerance("ulp", 1, "float32").admits(1.0 + 2**-22, 1.0)


@pytest.mark.parametrize("kind", UNITS)
def test_not_a_number_equals_nothing_and_infinity_itself(kind: str) -> None:
    """However wide the tolerance: NaN on either side, one infinity, or a value for an expected zero of `rel`."""
    wide = tolerance(kind, 1e300)
    for found, expected in ((math.nan, 1.0), (1.0, math.nan), (math.nan, math.nan), (math.inf, 1.0), (1.0, -math.inf)):
        assert not wide.admits(found, expected)
    assert wide.admits(math.inf, math.inf)
    assert wide.admits([1.0, math.inf], [1.0, math.inf])
    assert wide.admits(1e-9, 0.0) is (kind != "rel")


@pytest.mark.parametrize(("found", "expected"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], 1.0 + 1j)])
def test_what_cannot_be_compared_raises(found: Any, expected: Any) -> None:
    """Nothing at all is not equal to nothing, and a missing number is noticed."""
    with pytest.raises((ValueError, TypeError)):
        tolerance("abs", 1.0).admits(found, expected)


@given(st.sampled_from(sorted(UNITS)), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_tolerance_of_zero_admits_equals_alone(kind: str, found: float, expected: float) -> None:
    """Whatever the kind."""
    assert tolerance(kind, 0.0).admits(found, expected) is (found == expected)
