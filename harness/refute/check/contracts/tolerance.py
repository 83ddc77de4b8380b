"""How far two results may lie apart: a number with its kind and unit, as a contract states it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refute.spec.fields import Closed
from refute.spec.yaml.document import located

Kind = Literal["abs", "rel", "ulp", "nat", "pp"]

# What each kind may be counted in; `abs` is for every other quantity, and names it.
_UNITS: dict[Kind, tuple[str, ...]] = {
    "rel": ("1",),
    "ulp": ("float32", "float64"),
    "nat": ("nat", "nat/token"),
    "pp": ("%",),
}


class Tolerance(Closed):
    """The largest distance between two results that still counts as equal, and where the figure comes from.

    `abs`: difference in `unit`. `rel`: difference as a share of the expected size, unit `1`. `ulp`: representable
    numbers between the two, unit `float32` or `float64`. `nat`: difference of logarithms of probabilities, unit
    `nat` or `nat/token`. `pp`: difference of two shares in percent, unit `%`. Of several numbers the largest
    distance counts, but for `rel` the Euclidean norm of the difference over that of the expected numbers.
    """

    kind: Kind
    value: Annotated[float, Field(ge=0)]
    unit: Annotated[str, Field(pattern=r"^\S+$")]
    source: Annotated[str, Field(pattern=r"\S", description="Why this figure: a paper, or what was measured.")]

    @model_validator(mode="after")
    def _unit_fits(self) -> Self:
        own = _UNITS.get(self.kind)
        if own is not None and self.unit not in own:
            raise located([(("unit",), f"a tolerance of kind `{self.kind}` has unit {' or '.join(own)}")])
        if own is None and any(self.unit in units for units in _UNITS.values()):
            kind = next(kind for kind, units in _UNITS.items() if self.unit in units)
            raise located([(("unit",), f"{self.unit!r} belongs to kind `{kind}`; `abs` names a quantity")])
        return self

    def admits(self, found: float | Iterable[float], expected: float | Iterable[float]) -> bool:
        """Whether `found` counts as `expected`, one number or as many each. NaN counts as nothing, infinity as itself.

        Raises ValueError when there are not as many of the one as of the other, or none at all.
        """
        pairs = list(zip(_numbers(found), _numbers(expected), strict=True))
        if not pairs:
            raise ValueError("there is nothing to compare")
        if any(math.isnan(one) or math.isnan(other) for one, other in pairs):
            return False
        return self.distance(pairs) <= self.value

    def distance(self, pairs: Sequence[tuple[float, float]]) -> float:
        """How far `pairs` of (found, expected) lie apart, in this kind and unit."""
        differing = [(one, other) for one, other in pairs if one != other]
        if not differing:
            return 0.0
        if self.kind == "ulp":
            return max(_ulps(one, other, self.unit) for one, other in differing)
        if self.kind != "rel":
            return max(abs(one - other) for one, other in differing)
        error = math.hypot(*(one - other for one, other in differing))
        size = math.hypot(*(other for _, other in pairs))
        return error / size if size > 0 else math.inf


def _numbers(values: float | Iterable[float]) -> list[float]:
    return [float(value) for value in values] if isinstance(values, Iterable) else [float(values)]


def _ulps(one: float, other: float, unit: str) -> float:
    """Representable numbers between two: the difference of their bit patterns, which are ordered as they are."""
    if math.isinf(one) or math.isinf(other):
        return math.inf
    return float(abs(_place(one, unit) - _place(other, unit)))


def _place(number: float, unit: str) -> int:
    real, whole = ("<f", "<i") if unit == "float32" else ("<d", "<q")
    (bits,) = struct.unpack(whole, struct.pack(real, number))
    lowest = -(2**31) if unit == "float32" else -(2**63)
    return int(bits) if bits >= 0 else lowest - int(bits)
