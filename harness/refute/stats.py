"""Intervals and paired comparisons behind thresholds: pure functions over numbers.

`scipy.special` is imported when it is used. `scipy.stats` would take 0.6 s more processor time in each process of a
gate; the tests hold every function here against it.

Every interval is two-sided at `level` (0.95 unless told). None of them covers bias: a wrong sample,
problems that leaked into training, or windows cut from one file counted as independent.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction

from refute.outcome import Interval
from refute.spec.bars.sequential import Design, Spending

LEVEL = 0.95


def wilson_interval(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson score interval for a share, in percent (Wilson 1927, JASA 22; no continuity correction).

    Raises ValueError unless 0 <= successes <= n and n >= 1.
    """
    _check_counts(successes, n)
    _check_level(level)
    z, share = _normal_quantile(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
    return Interval(100 * low, 100 * high, level, "Wilson")


def exact_interval(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Clopper-Pearson interval for a share, in percent (Clopper & Pearson 1934, Biometrika 26).

    n = 0 says nothing and gives [0, 100].
    """
    _check_level(level)
    if successes == n == 0:
        return Interval(0.0, 100.0, level, "Clopper-Pearson")
    _check_counts(successes, n)
    from scipy.special import betaincinv

    tail, failures = (1 - level) / 2, n - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(100 * low, 100 * high, level, "Clopper-Pearson")


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
    from scipy.special import stdtrit

    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    return mean, Interval(mean - half, mean + half, level, "Student t")


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], *, level: float = LEVEL
) -> tuple[float, Interval]:
    """Mean and interval of values of which those in one of `clusters` may be alike, such as windows of one file.

    Bell and McCaffrey's (2002, Survey Methodology 28): the variance from sums of residuals by cluster, each sum scaled
    by what its cluster takes from it, and Student's t. Its degrees of freedom are Satterthwaite's, the fewer of those
    for values that are independent and those for values that are one within each cluster. With clusters of one value
    each it is `mean_interval`. The interval's method says how many clusters there were. Raises ValueError below two of
    them, and for a value that is not finite.
    """
    _check_level(level)
    n, sizes = len(values), Counter(clusters)
    if len(clusters) != n or len(sizes) < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(
            f"an interval needs finite values of at least two clusters, found {n} values in {len(sizes)}: values that "
            "are alike say nothing of others"
        )
    from scipy.special import stdtrit

    mean = math.fsum(values) / n
    sums = dict.fromkeys(sizes, 0.0)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    variance = math.fsum(sums[name] ** 2 / (1 - size / n) for name, size in sizes.items()) / n**2
    freedom = min(_satterthwaite([*sizes.values()], alike=alike) for alike in (False, True))
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance)
    return mean, Interval(mean - half, mean + half, level, f"Student t over {len(sizes)} clusters")


def _satterthwaite(sizes: Sequence[int], *, alike: bool) -> float:
    """Degrees of freedom of the variance of a mean over clusters of these sizes, whose values are one, or independent.

    The variance is a sum of squares of weighted sums of the values; (tr M)² / tr M² of their covariance M.
    """
    import numpy as np

    size = np.asarray(sizes, dtype=np.float64)
    n, weight = size.sum(), size if alike else np.ones_like(size)
    whole = (weight * size).sum() / n**2
    shared = np.add.outer(weight, weight) / n - whole
    scale = np.sqrt(1 - size / n)
    covariance = (np.diag(weight * size) - shared * np.outer(size, size)) / np.outer(scale, scale)
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def sequential_share(
    passed: Sequence[bool], *, bar: float, error_rate: float, spending: Spending, looks: Sequence[int]
) -> tuple[float, Interval]:
    """Share of passes, in percent, of a run that stopped by a sequential test, with the interval that allows for it.

    `passed`: one outcome a problem, in the order in which they were put; see spec/bars/sequential.py.
    Raises ValueError for a run that neither was decided nor saw all problems, or went on when it was decided.
    """
    design = Design(bar, error_rate, spending, tuple(looks))
    n = design.stop(passed).n
    return 100 * sum(passed) / n, design.interval(sum(passed), n)


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
    points = sorted(zip(steps, values, strict=True))
    slopes = sorted((y - b) / (x - a) for number, (x, y) in enumerate(points) for a, b in points[:number])
    # Sen's ranks: Kendall's variance, less what ties among the values take from it.
    ties = (k * (k - 1) * (2 * k + 5) for k in Counter(values).values())
    spread = math.sqrt((len(points) * (len(points) - 1) * (2 * len(points) + 5) - sum(ties)) / 18)
    reach = _normal_quantile(level) * spread
    low = slopes[max(round((len(slopes) - reach) / 2) - 1, 0)]
    high = slopes[min(round((len(slopes) + reach) / 2), len(slopes) - 1)]
    slope = statistics.median(slopes)
    return slope, Interval(min(low, slope), max(high, slope), level, "Theil-Sen")


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 17, resamples: int = 10_000, level: float = LEVEL
) -> tuple[float, Interval]:
    """Mean and percentile bootstrap interval, resampling `values` with replacement (Efron 1979, Ann. Statist. 7).

    One value is one independent unit, such as a problem's share of passes or a paired difference. The same seed
    gives the same interval (numpy's PCG64). Values that do not vary give an interval of no width, which claims too
    much: use a binomial interval for shares that are all 0 or 1. Raises ValueError for no value, one that is not
    finite, or fewer than 100 resamples.
    """
    _check_level(level)
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"a bootstrap needs finite values, at least one; found {len(values)} values")
    if resamples < 100:
        raise ValueError(f"a bootstrap needs at least 100 resamples, found {resamples}")
    import numpy as np

    data, generator = np.asarray(values, dtype=np.float64), np.random.default_rng(seed)
    means = np.array([data[generator.integers(0, len(data), len(data))].mean() for _ in range(resamples)])
    low, high = (float(end) for end in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    mean = math.fsum(values) / len(values)
    # Of values that are all alike, the means differ from the value itself in the last bits only.
    return mean, Interval(min(low, mean), max(high, mean), level, "bootstrap")


def mean_share(shares: Sequence[float], *, level: float = LEVEL) -> tuple[float, Interval]:
    """Mean of shares, one a problem, such as the passes among its samples, in percent, with its interval.

    Agresti and Coull's interval (1998, Am. Stat. 52) with problems for trials: as if z²/2 problems more were solved in
    full, and as many not at all (z = 1.96 at 95 %). It allows for samples of one problem that are alike, keeps a width
    near 0 and 1 and where all shares are the same, and is Agresti and Coull's own where every share is 0 or 1, which
    holds Wilson's. At true means of 1 to 99 %, 164 problems, 2 to 16 samples each: coverage 93.7 to 99.6 % (simulated).
    Raises ValueError for no share, or one outside 0 to 1.
    """
    if not shares or not all(0.0 <= share <= 1.0 for share in shares):
        raise ValueError(f"a mean of shares needs at least one, all from 0 to 1; found {len(shares)}")
    _check_level(level)
    mean, half_more = math.fsum(shares) / len(shares), _normal_quantile(level) ** 2 / 2
    low, high = _with_pseudo_values(shares, (half_more, half_more), (0.0, 1.0), level)
    found = max(0.0, min(low, mean)), min(1.0, max(high, mean))
    return 100 * mean, Interval(100 * found[0], 100 * found[1], level, "Agresti-Coull over problems")


def mean_paired_difference(differences: Sequence[float], *, level: float = LEVEL) -> tuple[float, Interval]:
    """Mean of differences of shares, one a problem, from -1 to 1, in percent points, with its interval.

    Agresti and Min's interval for matched pairs (2005, Statistics in Medicine 24) with problems for pairs: as if two
    problems more were there, half of one won in full, half of one lost, and one tied. It keeps a width where no
    problem differs. Raises ValueError for no difference, or one outside -1 to 1.
    """
    if not differences or not all(-1.0 <= each <= 1.0 for each in differences):
        raise ValueError(f"a mean of differences needs at least one, all from -1 to 1; found {len(differences)}")
    _check_level(level)
    mean = math.fsum(differences) / len(differences)
    low, high = _with_pseudo_values(differences, (0.5, 1.0, 0.5), (-1.0, 0.0, 1.0), level)
    found = max(-1.0, min(low, mean)), min(1.0, max(high, mean))
    return 100 * mean, Interval(100 * found[0], 100 * found[1], level, "Agresti-Min over problems")


def _with_pseudo_values(
    values: Sequence[float], weights: Sequence[float], added: Sequence[float], level: float
) -> tuple[float, float]:
    """Wald's interval of the mean of `values` and of `added`, which count as often as `weights` says."""
    n = len(values) + math.fsum(weights)
    pairs = list(zip(weights, added, strict=True))
    mean = (math.fsum(values) + math.fsum(weight * value for weight, value in pairs)) / n
    square = math.fsum(value * value for value in values) + math.fsum(weight * value**2 for weight, value in pairs)
    half = _normal_quantile(level) * math.sqrt(max(square / n - mean * mean, 0.0) / n)
    return mean - half, mean + half


def relative_change(new: Sequence[float], old: Sequence[float], *, level: float = LEVEL) -> tuple[float, Interval]:
    """Change of the mean of `new` against that of `old`, paired, in percent of the latter, with its interval.

    Fieller's (1954, J. R. Stat. Soc. B 16): the ratios r at which Student's t over new - r * old decides nothing.
    Raises ValueError below two pairs, where `old` is not clearly above 0, so that no ratio is excluded, and where
    neither varies, so that none can be.
    """
    _check_level(level)
    n = len(new)
    if n < 2 or len(old) != n:
        raise ValueError(f"a relative change needs at least two pairs, found {n} and {len(old)} values")
    from scipy.special import stdtrit

    a, b = math.fsum(new) / n, math.fsum(old) / n
    pairs = [(x - a, y - b) for x, y in zip(new, old, strict=True)]
    scale = float(stdtrit(n - 1, (1 + level) / 2)) ** 2 / (n * (n - 1))
    aa, bb, ab = (
        scale * math.fsum(each)
        for each in ([x * x for x, _ in pairs], [y * y for _, y in pairs], [x * y for x, y in pairs])
    )
    # r² (b² - bb) - 2 r (ab' - ab) + (a² - aa) <= 0
    leading, middle = b * b - bb, a * b - ab
    if b <= 0 or leading <= 0 or aa == bb == 0:
        raise ValueError("the baseline is too near to 0, or too few items vary, for a change relative to it")
    spread = math.sqrt(max(middle * middle - leading * (a * a - aa), 0.0))
    low, high = ((middle - spread) / leading, (middle + spread) / leading)
    change = a / b
    low, high = min(low, change), max(high, change)
    return 100 * (change - 1), Interval(100 * (low - 1), 100 * (high - 1), level, "Fieller")


def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided p-value of the exact McNemar test: the binomial test of `gained` among the discordant pairs.

    (McNemar 1947, Psychometrika 12.) No discordant pair is no evidence: 1. Raises ValueError for a negative count.
    """
    if min(gained, lost) < 0:
        raise ValueError(f"need counts of at least 0, found {gained} gained and {lost} lost")
    if gained == lost == 0:
        return 1.0
    n = gained + lost
    tail = sum(math.comb(n, count) for count in range(min(gained, lost) + 1))
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def paired_difference(both: int, gained: int, lost: int, neither: int, *, level: float = LEVEL) -> Interval:
    """Interval for the difference of two paired shares, (gained - lost) / n, in percent points.

    Hybrid score interval, method 10 of Newcombe 1998 (Statistics in Medicine 17, 2635): Wilson's limits of both shares,
    joined with the phi coefficient of the pairs. Unlike a bootstrap it keeps its width where no pair is discordant.
    `gained`: only the new one passes, `lost`: only the old one. Raises ValueError for a negative count or no pair.
    """
    _check_level(level)
    counts, n = (both, gained, lost, neither), both + gained + lost + neither
    if min(counts) < 0 or n == 0:
        raise ValueError(f"need counts of at least 0 and one pair, found {counts}")
    new, old = wilson_interval(both + gained, n, level=level), wilson_interval(both + lost, n, level=level)
    share_new, share_old = 100 * (both + gained) / n, 100 * (both + lost) / n
    phi = _phi(both, gained, lost, neither)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    difference = 100 * (gained - lost) / n
    low = difference - reach(share_new - new.low, old.high - share_old)
    high = difference + reach(new.high - share_new, share_old - old.low)
    return Interval(low, high, level, "Newcombe paired score")


def _phi(both: int, gained: int, lost: int, neither: int) -> float:
    """Phi coefficient of a table of pairs, with Newcombe's continuity correction where it is positive."""
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    if margins == 0:
        return 0.0
    product, n = both * neither - gained * lost, both + gained + lost + neither
    return (max(product - n / 2, 0.0) if product > 0 else product) / math.sqrt(margins)


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, found {level}")


def _normal_quantile(level: float) -> float:
    """How many standard deviations on either side hold `level` of a normal distribution."""
    return statistics.NormalDist().inv_cdf((1 + level) / 2)


def _check_counts(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, found {successes} of {n}")
