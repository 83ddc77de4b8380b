"""Group-sequential tests of a share against a bar, decided as early as a stated error rate allows: pure, exact counts.

Looks are taken after fixed numbers of observations. A spending function says how much of the error may be used up by
each look (Lan & DeMets 1983, Biometrika 70, 659), half of it on either side; the boundary is the widest that this
allows, by the exact distribution of the count over the paths that are still going (Armitage, McPherson & Rowe 1969,
JRSS A 132, 235), in integers. The interval after stopping orders outcomes by look, then by count (Jennison & Turnbull
1983, Technometrics 25, 49): it excludes the bar exactly if the run was stopped by a boundary.

One observation is one problem, and all are taken to pass with the same unknown chance, as Wilson's interval takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from statistics import NormalDist
from typing import Any, Literal

from refute.outcome import Interval

Spending = Literal["obrien_fleming", "pocock"]
# Of a share at the end of an interval; far below what a report shows.
_PRECISION = 1e-12


@dataclass(frozen=True, slots=True)
class Look:
    """After `n` observations: stop below the bar with at most `stop_at_most` passes, above it with `stop_at_least`.

    -1 and n + 1 cannot be reached: no decision is possible there.
    """

    n: int
    stop_at_most: int
    stop_at_least: int

    def decides(self, passed: int) -> bool:
        """Whether `passed` of `n` lies on or beyond a boundary."""
        return passed <= self.stop_at_most or passed >= self.stop_at_least


@dataclass(frozen=True, slots=True)
class Design:
    """A two-sided test against `bar` (percent) with looks at these numbers of problems; the last one ends the run.

    `error_rate` is the chance, at most, that a share exactly at the bar is called above it or below it; `seed` is that
    of the random order in which the problems are put.
    """

    bar: float
    error_rate: float
    spending: Spending
    looks: tuple[int, ...]
    seed: int = 17

    def __post_init__(self) -> None:
        if not 0 < self.bar < 100:
            raise ValueError(f"a share is tested against a bar between 0 and 100 %, found {self.bar:g} %")
        if not 0 < self.error_rate < 0.5:
            raise ValueError(f"an error rate lies between 0 and 0.5, found {self.error_rate:g}")
        if not self.looks or self.looks[0] < 1 or any(b <= a for a, b in zip(self.looks, self.looks[1:], strict=False)):
            raise ValueError(f"looks are rising numbers of problems, at least one; found {list(self.looks)}")

    def boundaries(self) -> tuple[Look, ...]:
        """What stops the run at each look."""
        return _boundaries(self)

    def stop(self, passed: Sequence[bool]) -> Look:
        """The look at which observations in this order end the run.

        Raises ValueError where they are fewer, for then nothing is decided, or more than it takes.
        """
        for look in self.boundaries():
            if len(passed) < look.n:
                break
            if look.decides(sum(passed[: look.n])) or look.n == self.looks[-1]:
                if len(passed) > look.n:
                    raise ValueError(f"decided after {look.n} problems, yet {len(passed)} were judged")
                return look
        raise ValueError(
            f"{len(passed)} problems judged, {sum(passed)} passed: neither decided nor all {self.looks[-1]}"
        )

    def interval(self, passed: int, n: int) -> Interval:
        """Interval, in percent, of a run that ended after `n` problems, at the level 1 - `error_rate`.

        It covers the true share with at least that probability, whatever it is, over runs that stop by this design.
        Raises ValueError unless a run can end there.
        """
        return _interval(self, passed, n)

    def method(self, n: int, place: int) -> str:
        """What an interval of a run that ended after `n` problems, at the 1-based look `place`, is called."""
        rule = f"Lan-DeMets {self.spending} against {self.bar:g} %"
        return f"sequential, {rule}, ended at look {place} of {len(self.looks)}, {n} of {self.looks[-1]} problems"

    def rule(self) -> dict[str, Any]:
        """The design as JSON data: all that the boundaries follow from."""
        return {**asdict(self), "looks": list(self.looks)}

    def as_json(self) -> dict[str, Any]:
        """The design with its boundaries, for evidence."""
        return {**self.rule(), "boundaries": [asdict(look) for look in self.boundaries()]}


def every(step: int, problems: int) -> tuple[int, ...]:
    """Looks after each `step` problems and, last, after all of them."""
    return tuple(dict.fromkeys([*range(step, problems + 1, step), problems]))


def spent(spending: Spending, side: float, share_done: float) -> float:
    """How much of the error `side` of one side may be used up once `share_done` of all observations are in.

    `obrien_fleming` and `pocock` are the functions of Lan & DeMets 1983, section 2: 2 - 2 Phi(z / sqrt(t)) with
    z = Phi^-1(1 - side / 2), and side * ln(1 + (e - 1) t).
    """
    if share_done >= 1:
        return side
    if spending == "pocock":
        return side * math.log1p((math.e - 1) * share_done)
    return math.erfc(NormalDist().inv_cdf(1 - side / 2) / math.sqrt(2 * share_done))


@cache
def _boundaries(design: Design) -> tuple[Look, ...]:
    """In integers: the probability of a count, times `scale`, the denominator of the bar to the power of n."""
    chance = Fraction(str(design.bar)) / 100
    good, all_ = chance.numerator, chance.denominator
    side = float(Fraction(str(design.error_rate)) / 2)
    alive, below, above, scale, n = [1], 0, 0, 1, 0
    looks: list[Look] = []
    for end in design.looks:
        while n < end:
            alive = [
                stayed * (all_ - good) + rose * good for stayed, rose in zip([*alive, 0], [0, *alive], strict=True)
            ]
            below, above, scale, n = below * all_, above * all_, scale * all_, n + 1
        allowed = int(Fraction(spent(design.spending, side, n / design.looks[-1])) * scale)
        low, high = -1, n + 1
        while below + alive[low + 1] <= allowed:
            low += 1
            below += alive[low]
        while above + alive[high - 1] <= allowed:
            high -= 1
            above += alive[high]
        looks.append(Look(n, low, high))
        alive = [weight if low < count < high else 0 for count, weight in enumerate(alive)]
    return tuple(looks)


@cache
def _interval(design: Design, passed: int, n: int) -> Interval:
    looks = design.boundaries()
    place = next((number for number, look in enumerate(looks, start=1) if look.n == n), None)
    if place is None or not 0 <= passed <= n:
        raise ValueError(f"{passed} of {n}: the design looks after {', '.join(map(str, design.looks))}")
    if place < len(looks) and not looks[place - 1].decides(passed):
        raise ValueError(f"{passed} of {n} is within the boundaries of look {place}: the run was not over")
    path = looks[: place - 1]
    if not _walk(path, n, 0.5)[-1][passed]:
        raise ValueError(f"{passed} of {n}: every way there would have been stopped before")
    low, high = (100 * _limit(path, n, passed, design.error_rate / 2, upper=upper) for upper in (False, True))
    # The share itself may lie outside after a late, surprising look: an interval always holds its estimate.
    share = 100 * passed / n
    return Interval(min(low, share), max(high, share), 1 - design.error_rate, design.method(n, place))


def _limit(path: Sequence[Look], n: int, passed: int, side: float, *, upper: bool) -> float:
    """The share at which an outcome as far out as the observed one has the probability `side`."""

    def excess(share: float) -> float:
        return _tail(path, n, passed, share, lower=upper) - side

    end = 1.0 if upper else 0.0
    return end if excess(end) >= 0 else _root(excess, 1.0 - end, end)


def _root(function: Callable[[float], float], positive: float, negative: float) -> float:
    """Where `function`, which has these signs at the two ends, is 0: regula falsi in its Illinois form.

    (Dowell & Jarratt 1971, BIT 11.) Here and not from scipy, so that whoever only verifies needs none.
    """
    at_positive, at_negative, before = function(positive), function(negative), 0.0
    while abs(positive - negative) > _PRECISION:
        middle = (positive * at_negative - negative * at_positive) / (at_negative - at_positive)
        value = function(middle)
        if value == 0:
            return middle
        if value > 0:
            positive, at_positive = middle, value
            at_negative /= 2 if before > 0 else 1
        else:
            negative, at_negative = middle, value
            at_positive /= 2 if before < 0 else 1
        before = value
    return (positive + negative) / 2


def _tail(path: Sequence[Look], n: int, passed: int, share: float, *, lower: bool) -> float:
    """Chance of an outcome at most (`lower`) or at least as high as `passed` of `n`, after the looks of `path`.

    It rises or falls steadily with `share`: a path with more passes everywhere leaves at the top no later.
    """
    *before, last = _walk(path, n, share)
    ends = [
        *(
            weights[: look.stop_at_most + 1] if lower else weights[look.stop_at_least :]
            for look, weights in zip(path, before, strict=True)
        ),
        last[: passed + 1] if lower else last[passed:],
    ]
    return math.fsum(weight for end in ends for weight in end)


def _walk(path: Sequence[Look], n: int, share: float) -> list[list[float]]:
    """The probability of each count at each look of `path`, and then after `n`, over runs not stopped before."""
    weights, before, found = [1.0], 0, list[list[float]]()
    for end in (*(look.n for look in path), n):
        if found:
            look = path[len(found) - 1]
            weights = [
                weight if look.stop_at_most < count < look.stop_at_least else 0.0
                for count, weight in enumerate(weights)
            ]
        for _ in range(end - before):
            weights = [
                stayed * (1 - share) + rose * share
                for stayed, rose in zip([*weights, 0.0], [0.0, *weights], strict=True)
            ]
        found.append(weights)
        before = end
    return found
