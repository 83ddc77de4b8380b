"""Do intervals cover what they say, and how often is what lies on a bar let through? By enumeration and by draws.

    python benchmarks/interval_coverage.py

Prints a table a kind of data. Draws are made by seed, so that two runs print the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from refute import Interval, stats

SIZES = (164, 500, 1319)
DRAWS = 2000
MARGIN = 5.0
Share = Callable[[int, int], Interval]
Floats = NDArray[np.float64]


def _probabilities(n: int, share: float) -> Floats:
    """Of 0 to n successes."""
    below = bdtr(np.arange(n + 1), n, share)
    return np.diff(np.asarray(below, np.float64), prepend=0.0)


def shares() -> None:
    """Lowest coverage at true shares of 0.5 to 99.5 %, and the largest part that is shown to lie above a true bar."""
    print(f"{'share':22}{'n':>6}{'coverage at least':>19}{'false above at most':>21}{'false below at most':>21}")
    kinds: tuple[tuple[str, Share], ...] = (
        ("Wilson", stats.wilson_interval),
        ("Clopper-Pearson", stats.exact_interval),
    )
    for (name, interval), n in itertools.product(kinds, SIZES):
        ends = np.array([[found.low, found.high] for found in (interval(k, n) for k in range(n + 1))])
        rows = []
        for share in np.arange(0.005, 1.0, 0.005):
            chance, bar = _probabilities(n, share), 100 * share
            above, below = ends[:, 0] > bar, ends[:, 1] < bar
            rows.append((chance[~above & ~below].sum(), chance[above].sum(), chance[below].sum()))
        covered, over, under = np.array(rows).T
        print(f"{name:22}{n:6}{covered.min():19.1%}{over.max():21.1%}{under.max():21.1%}")


def _pairs(n: int, base: float, difference: float, phi: float, chance: np.random.Generator) -> NDArray[np.int64]:
    """Draws of (both, gained, lost, neither) of two models with these true shares and this correlation."""
    new = base + difference
    both = base * new + phi * math.sqrt(base * (1 - base) * new * (1 - new))
    both = min(max(both, base + new - 1, 0.0), base, new)
    return chance.multinomial(n, [both, new - both, base - both, 1 - base - new + both], size=DRAWS)


@cache
def _paired(both: int, gained: int, lost: int, neither: int) -> Interval:
    return stats.paired_difference(both, gained, lost, neither)


def pairs() -> None:
    """A paired difference under the bar `> -5 points`: coverage, GO where it lies on the bar, GO of equal models.

    And how often 20 such criteria, each of models that are equal, are GO together.
    """
    print(
        f"\n{'paired difference':18}{'n':>6}{'phi':>6}{'coverage':>10}{'GO at the bar':>15}{'GO if equal':>13}",
        f"{'20 of 20':>9}",
    )
    chance = np.random.default_rng(17)
    for n, phi in itertools.product(SIZES, (0.0, 0.5, 0.8)):
        covered, gone = [], []
        for difference in (-0.05, 0.0):
            found = [_paired(*map(int, row)) for row in _pairs(n, 0.4, difference, phi, chance)]
            covered.append(np.mean([each.low <= 100 * difference <= each.high for each in found]))
            gone.append(float(np.mean([each.low > -MARGIN for each in found])))
        print(f"{'Newcombe':18}{n:6}{phi:6.1f}{min(covered):10.1%}{gone[0]:15.1%}{gone[1]:13.1%}{gone[1] ** 20:10.1%}")


def _clustered(sizes: Sequence[int], correlation: float, chance: np.random.Generator) -> tuple[float, float]:
    """How often the interval over clusters, and the one that takes values for independent, hold the mean."""
    clusters = np.repeat(range(len(sizes)), sizes)
    held = np.zeros(2)
    for _ in range(DRAWS // 2):
        common = chance.normal(size=len(sizes))[clusters]
        values = (
            math.sqrt(correlation) * common + math.sqrt(1 - correlation) * chance.normal(size=len(clusters))
        ).tolist()
        found = stats.clustered_mean(values, clusters.tolist())[1], stats.mean_interval(values)[1]
        held += [each.low <= 0.0 <= each.high for each in found]
    over, plain = held / (DRAWS // 2)
    return float(over), float(plain)


def clusters() -> None:
    """Windows of files, from few and unequal files to twenty."""
    print(f"\n{'clusters':30}{'correlation':>12}{'over clusters':>15}{'as independent':>16}")
    chance = np.random.default_rng(17)
    shapes = {
        "4 of 6": [6] * 4,
        "21, 1, 1, 1": [21, 1, 1, 1],
        "13, 5, 3, 2, 1": [13, 5, 3, 2, 1],
        "8 of 3": [3] * 8,
        "8 of 16": [16] * 8,
        "6, 4, 3, 3, 2, 2, 1, 1, 1, 1": [6, 4, 3, 3, 2, 2, 1, 1, 1, 1],
        "20 of 3": [3] * 20,
        "24 of 1": [1] * 24,
    }
    for (name, sizes), correlation in itertools.product(shapes.items(), (0.0, 0.2, 0.5, 0.8)):
        over, plain = _clustered(sizes, correlation, chance)
        print(f"{name:30}{correlation:12.1f}{over:15.1%}{plain:16.1%}")


def samples() -> None:
    """`k` answers to each of 164 problems of unlike difficulty: how often equal models are GO under `> -5 points`."""
    print(f"\n{'samples a problem':18}{'coverage':>10}{'GO at the bar':>15}{'GO if equal':>13}")
    chance = np.random.default_rng(17)
    for k in (1, 2, 4, 8):
        covered, gone = [], []
        for difference in (0.05, 0.0):
            hard = chance.beta(0.4, 0.6, size=(DRAWS // 2, 164))
            lowered = hard * (1 - difference / 0.4)
            new, old = chance.binomial(k, lowered) / k, chance.binomial(k, hard) / k
            found = [stats.mean_paired_difference(row.tolist())[1] for row in new - old]
            covered.append(np.mean([each.low <= -100 * difference <= each.high for each in found]))
            gone.append(np.mean([each.low > -MARGIN for each in found]))
        print(f"{k:18}{min(covered):10.1%}{gone[0]:15.1%}{gone[1]:13.1%}")


if __name__ == "__main__":
    for show in (shares, pairs, clusters, samples):
        show()
