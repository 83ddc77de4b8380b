"""Intervals and paired comparisons behind thresholds: pure functions over numbers, scipy imported when used.

Every interval is two-sided at `level` (0.95 unless told). None of them covers bias: a wrong sample,
problems that leaked into training, or windows cut from one file counted as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from refute.outcome import Interval

LEVEL = 0.95


def wilson_interval(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson score interval for a share, in percent (Wilson 1927, JASA 22; no continuity correction).

    Raises ValueError unless 0 <= successes <= n and n >= 1.
    """
    _check_counts(successes, n)
    _check_level(level)
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(level, method="wilson")
    share = successes / n
    return Interval(100 * min(float(found.low), share), 100 * max(float(found.high), share), level, "Wilson")


def exact_interval(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Clopper-Pearson interval for a share, in percent (Clopper & Pearson 1934, Biometrika 26).

    n = 0 says nothing and gives [0, 100].
    """
    _check_level(level)
    if successes == n == 0:
        return Interval(0.0, 100.0, level, "Clopper-Pearson")
    _check_counts(successes, n)
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(level, method="exact")
    return Interval(100 * float(found.low), 100 * float(found.high), level, "Clopper-Pearson")


def mcnemar_share(gained: int, lost: int, *, level: float = LEVEL) -> tuple[float, Interval]:
    """Share of discordant pairs that went the right way, in percent, with its exact interval.

    `gained`: problems only the new model solves; `lost`: only the old one. The interval lies above 50
    exactly when the two-sided exact McNemar test rejects "no difference" for the better
    (McNemar 1947, Psychometrika 12). No discordant pair is no evidence: 50 with [0, 100].
    """
    n = gained + lost
    return (100 * gained / n if n else 50.0), exact_interval(gained, n, level=level)


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> tuple[float, Interval]:
    """Mean and Student-t interval of at least two finite values (of paired differences: a paired t-test).

    Raises ValueError for fewer than two values or one that is not finite.
    """
    _check_level(level)
    n = len(values)
    if n < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"an interval needs at least two finite values, found {n}")
    from scipy.stats import t

    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(t.ppf((1 + level) / 2, n - 1)) * math.sqrt(variance / n)
    return mean, Interval(mean - half, mean + half, level, "Student t")


def trend(steps: Sequence[float], values: Sequence[float], *, level: float = LEVEL) -> tuple[float, Interval]:
    """Theil-Sen slope of `values` over `steps`, per unit of `steps`, with Sen's interval (Sen 1968, JASA 63).

    Says whether a series rises without demanding that every step does. Raises ValueError for a value that is not
    finite, a step that occurs twice, and below five points: of the 24 orders of four, two exclude a slope of 0.
    """
    _check_level(level)
    if len(steps) != len(values) or len(set(steps)) != len(steps) or len(steps) < 5:
        raise ValueError(
            f"a trend needs at least five points at different steps, found {len(steps)} steps and {len(values)} values"
        )
    if not all(math.isfinite(number) for number in (*steps, *values)):
        raise ValueError("a trend needs finite steps and values")
    from scipy.stats import theilslopes

    found = theilslopes(values, steps, alpha=level)
    slope, low, high = float(found.slope), float(found.low_slope), float(found.high_slope)
    return slope, Interval(min(low, slope), max(high, slope), level, "Theil-Sen")


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, found {level}")


def _check_counts(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, found {successes} of {n}")
