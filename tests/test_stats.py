"""Intervals and paired tests against scipy, published numbers, and their own definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, theilslopes, ttest_1samp

from refute import stats
from refute.outcome import Interval


@pytest.mark.parametrize(
    ("successes", "low", "high"),
    [(25, 10.54, 21.54), (41, 19.00, 32.15), (0, 0.0, 2.29), (164, 97.71, 100.0)],
)
def test_wilson_gives_known_bounds_on_164_problems(successes: int, low: float, high: float) -> None:
    """The score interval of HumanEval's sizes, to two decimals of a percent, from Wilson's closed formula."""
    found = stats.wilson_interval(successes, 164)
    assert (round(found.low, 2), round(found.high, 2)) == (low, high)
    assert (found.level, found.method) == (0.95, "Wilson")


@given(n=st.integers(1, 200), data=st.data())
def test_exact_interval_has_the_beta_quantiles_as_ends(n: int, data: st.DataObject) -> None:
    """Clopper-Pearson by its definition: 0 and 100 at the edges, quantiles of the beta distribution between."""
    k = data.draw(st.integers(0, n))
    found = stats.exact_interval(k, n)
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    assert [found.low, found.high] == pytest.approx([100 * low, 100 * high], abs=1e-6)


def test_exact_interval_without_observations_says_nothing() -> None:
    """No trial leaves everything possible."""
    assert stats.exact_interval(0, 0) == Interval(0.0, 100.0, 0.95, "Clopper-Pearson")


@pytest.mark.parametrize(("successes", "n"), [(-1, 4), (5, 4), (1, 0), (-1, 0), (0, -1)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    """Counts that no sample can have raise, also where n is 0."""
    with pytest.raises(ValueError, match="0 <= successes <= n"):
        stats.exact_interval(successes, n)
    with pytest.raises(ValueError, match="0 <= successes <= n"):
        stats.wilson_interval(successes, n)


def test_mcnemar_without_discordant_pairs_is_open() -> None:
    """An untouched copy gains and loses nothing: 50 % and every share possible."""
    share, interval = stats.mcnemar_share(0, 0)
    assert (share, interval.low, interval.high) == (50.0, 0.0, 100.0)


def test_mcnemar_refuses_counts_that_cancel_out() -> None:
    """-1 gained and 1 lost are not "no discordant pair"."""
    with pytest.raises(ValueError, match="-1 of 0"):
        stats.mcnemar_share(-1, 1)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_mean_interval_is_the_paired_t_interval(values: list[float], level: float) -> None:
    """Mean and ends equal scipy's one-sample t interval."""
    mean, found = stats.mean_interval(values, level=level)
    assert found.low <= mean <= found.high
    if max(values) - min(values) > 1e-3:
        expected = ttest_1samp(values, 0.0).confidence_interval(level)
        scale = max(map(abs, values))
        assert found.low == pytest.approx(float(expected.low), abs=1e-6 * scale)
        assert found.high == pytest.approx(float(expected.high), abs=1e-6 * scale)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_mean_interval_needs_two_finite_values(values: list[float]) -> None:
    """One value has no spread, and a value that is not finite has no mean."""
    with pytest.raises(ValueError, match="at least two finite values"):
        stats.mean_interval(values)


def test_a_clustered_mean_of_single_values_is_the_plain_one() -> None:
    """With a cluster for each value nothing is alike."""
    values = [1.0, 2.5, 4.0, 4.5, 9.0]
    mean, found = stats.clustered_mean(values, range(5))
    plain, expected = stats.mean_interval(values)
    assert (mean, found.low, found.high) == pytest.approx((plain, expected.low, expected.high))


def test_values_that_are_one_within_a_cluster_count_once() -> None:
    """However often each is written down, the interval is that of the clusters."""
    values = [1.0, 2.5, 4.0, 4.5, 9.0]
    mean, found = stats.clustered_mean([each for each in values for _ in range(7)], [n // 7 for n in range(35)])
    plain, expected = stats.mean_interval(values)
    assert (mean, found.low, found.high) == pytest.approx((plain, expected.low, expected.high))


@pytest.mark.parametrize("sizes", [[13, 5, 3, 2, 1], [4] * 6, [20, *[1] * 10]])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_clusters_of_any_size_are_covered(sizes: list[int], correlation: float) -> None:
    """Of intervals at 95 % at least 92 % hold the mean, whatever the clusters have in common (400 draws, by seed)."""
    chance, clusters = np.random.default_rng(17), np.repeat(range(len(sizes)), sizes)
    held = 0
    for _ in range(400):
        common = chance.normal(size=len(sizes))[clusters]
        values = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * chance.normal(size=len(clusters))
        _, found = stats.clustered_mean(values.tolist(), clusters.tolist())
        held += found.low <= 0.0 <= found.high
    assert held >= 0.92 * 400


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0, 2.0], ["a", "a"]), ([1.0, math.nan], ["a", "b"])])
def test_one_cluster_has_no_interval(values: list[float], clusters: list[str]) -> None:
    """Of one file nothing is known about others."""
    with pytest.raises(ValueError, match="at least two clusters"):
        stats.clustered_mean(values, clusters)


def test_a_relative_change_covers_its_ratio() -> None:
    """Of intervals at 95 % at least 92 % hold it (400 draws, by seed); the value is the ratio of the means."""
    chance, held = np.random.default_rng(17), 0
    for _ in range(400):
        old = (chance.random(300) < 0.5).astype(float)
        new = np.where(chance.random(300) < 0.8, old, (chance.random(300) < 0.3).astype(float))
        value, found = stats.relative_change(new.tolist(), old.tolist())
        assert value == pytest.approx(100 * (new.mean() / old.mean() - 1))
        held += found.low <= -8.0 <= found.high
    assert held >= 0.92 * 400


@pytest.mark.parametrize(
    ("new", "old"), [([1.0], [1.0]), ([1.0, 1.0], [1.0]), ([1.0, 0.0], [0.0, 0.0]), ([1.0] * 9, [0.0] * 8 + [1.0])]
)
def test_nothing_is_relative_to_next_to_nothing(new: list[float], old: list[float]) -> None:
    """A baseline that may be 0 excludes no ratio."""
    with pytest.raises(ValueError, match=r"relative|too near to 0"):
        stats.relative_change(new, old)


@pytest.mark.slow
@given(n=st.integers(1, 400), data=st.data(), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_and_mcnemar_are_those_of_scipy(n: int, data: st.DataObject, level: float) -> None:
    """Limits and two-sided p-value of its binomial test."""
    k = data.draw(st.integers(0, n))
    expected = binomtest(k, n).proportion_ci(level, method="wilson")
    found = stats.wilson_interval(k, n, level=level)
    assert [found.low, found.high] == pytest.approx([100 * expected.low, 100 * expected.high], abs=1e-9)
    assert stats.mcnemar_p(k, n - k) == pytest.approx(binomtest(k, n).pvalue, rel=1e-9)


@pytest.mark.slow
@given(
    values=st.lists(st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0, 2.0])), min_size=5, max_size=25),
    data=st.data(),
    level=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_trend_is_that_of_scipy(values: list[float], data: st.DataObject, level: float) -> None:
    """Slope and limits, with ties among the values, steps in any order, and steps far apart."""
    steps = data.draw(
        st.lists(st.integers(0, 10_000).map(float), min_size=len(values), max_size=len(values), unique=True)
    )
    expected = theilslopes(values, steps, alpha=level)
    slope, found = stats.trend(steps, values, level=level)
    assert slope == pytest.approx(expected.slope)
    assert [found.low, found.high] == pytest.approx([expected.low_slope, expected.high_slope])


def test_trend_finds_the_median_slope() -> None:
    """One wild point moves neither the slope nor its sign; a straight line has an interval of no width."""
    steps = [float(n) for n in range(11)]
    assert stats.trend(steps, [2 * step for step in steps])[1] == Interval(2.0, 2.0, 0.95, "Theil-Sen")
    wild = [2 * step for step in steps[:-1]] + [-500.0]
    slope, interval = stats.trend(steps, wild)
    assert slope == 2.0
    assert interval.low <= 2.0 <= interval.high


@pytest.mark.parametrize("points", [5, 6])
def test_trend_rarely_sees_one_in_a_random_order(points: int) -> None:
    """Over all orders of a few values, at most 5 % of the intervals exclude a slope of 0, as their level says."""
    orders = list(itertools.permutations([value + 0.01 * value**2 for value in range(points)]))
    found = [stats.trend(list(range(points)), order)[1] for order in orders]
    assert sum(each.low > 0 or each.high < 0 for each in found) <= 0.05 * len(orders)


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], "at least five points"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], "5 steps and 4 values"),
        ([1, 2, 3, 4, 4], [1, 2, 3, 4, 5], "different steps"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, math.nan], "finite"),
        ([1, 2, 3, 4, math.inf], [1, 2, 3, 4, 5], "finite"),
    ],
)
def test_trend_refuses_what_carries_none(steps: list[float], values: list[float], message: str) -> None:
    """Too few points, repeated steps and numbers that are not finite raise, and give no slope of NaN."""
    with pytest.raises(ValueError, match=message):
        stats.trend(steps, values)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.1, math.nan])
def test_every_interval_refuses_a_level_that_is_none(level: float) -> None:
    """A level lies between 0 and 1; outside there is no interval, and none is made up."""
    calls = (
        lambda: stats.wilson_interval(1, 4, level=level),
        lambda: stats.exact_interval(1, 4, level=level),
        lambda: stats.exact_interval(0, 0, level=level),
        lambda: stats.mean_interval([1.0, 2.0], level=level),
        lambda: stats.trend([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], level=level),
    )
    for call in calls:
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((36, 12, 2, 0), 5.69, 34.04), ((54, 0, 0, 0), -6.64, 6.64), ((0, 0, 0, 9), -29.91, 29.91)],
)
def test_paired_difference_on_small_tables(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    """Known limits come out, also where no pair is discordant, and swapping the two models mirrors them."""
    found = stats.paired_difference(*counts)
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.01)
    both, gained, lost, neither = counts
    mirrored = stats.paired_difference(both, lost, gained, neither)
    assert [mirrored.low, mirrored.high] == pytest.approx([-found.high, -found.low])


@pytest.mark.parametrize("chances", [(0.4, 0.2, 0.1, 0.3), (0.1, 0.05, 0.05, 0.8), (0.02, 0.5, 0.0, 0.48)])
def test_paired_difference_covers_the_truth(chances: tuple[float, ...]) -> None:
    """Summed over every table of 14 pairs, the interval holds the true difference about 95 times in a hundred."""
    n, truth, covered = 14, 100 * (chances[1] - chances[2]), 0.0
    for both, gained, lost in itertools.product(range(n + 1), repeat=3):
        counts = (both, gained, lost, n - both - gained - lost)
        if counts[3] >= 0:
            found = stats.paired_difference(*counts)
            ways = math.factorial(n) / math.prod(map(math.factorial, counts))
            chance = math.prod(p**count for p, count in zip(chances, counts, strict=True))
            covered += ways * chance * (found.low <= truth <= found.high)
    assert 0.93 < covered <= 1.0


@pytest.mark.slow
def test_the_bootstrap_repeats_and_has_the_width_of_its_standard_error() -> None:
    """One seed, one interval; for many values it agrees with Student's, and it never excludes the mean."""
    values = [(index * 37 % 101) / 100 for index in range(101)]
    mean, found = stats.bootstrap_interval(values, seed=5)
    assert (mean, found) == stats.bootstrap_interval(values, seed=5) != stats.bootstrap_interval(values, seed=6)
    _, student = stats.mean_interval(values)
    assert [found.low, found.high] == pytest.approx([student.low, student.high], abs=0.004)
    assert found.method == "bootstrap"
    mean, found = stats.bootstrap_interval([0.1] * 7, resamples=100)
    assert found.low <= mean <= found.high == pytest.approx(0.1)


def test_an_interval_over_problems_holds_that_of_all_or_nothing() -> None:
    """Agresti and Coull's own where every share is 0 or 1, which holds Wilson's; shares between narrow it."""
    for passed in (0, 1, 82, 163, 164):
        mean, found = stats.mean_share([1.0] * passed + [0.0] * (164 - passed))
        wilson = stats.wilson_interval(passed, 164)
        assert found.low <= wilson.low <= mean <= wilson.high <= found.high
    added = 1.959963984540054**2
    share, n = (3 + added / 2) / (10 + added), 10 + added
    half = 1.959963984540054 * math.sqrt(share * (1 - share) / n)
    found = stats.mean_share([1.0] * 3 + [0.0] * 7)[1]
    assert [found.low, found.high] == pytest.approx([100 * (share - half), 100 * (share + half)])
    _, halves = stats.mean_share([0.5] * 164)
    _, coins = stats.mean_share([1.0, 0.0] * 82)
    assert coins.low < halves.low < 49 < 51 < halves.high < coins.high


def test_an_interval_over_problems_grows_with_the_first_passes() -> None:
    """One pass of 328 has no lower an upper end than none has, and mirrored, no higher a lower end."""
    ends = [stats.mean_share([passes / 2] + [0.0] * 163)[1].high for passes in range(3)]
    assert stats.wilson_interval(0, 164).high < ends[0] < ends[1] < ends[2]
    mirrored = [stats.mean_share([1 - passes / 2] + [1.0] * 163)[1].low for passes in range(3)]
    assert mirrored == pytest.approx([100 - end for end in ends])


def test_a_difference_over_problems_keeps_a_width() -> None:
    """Also where no problem differs; it is as wide as Wald's where many do, and its sides change with the sign."""
    assert stats.mean_paired_difference([0.0] * 164)[1].high > 1
    values = [0.25, -0.25, 0.5, 0.0] * 50
    mean, found = stats.mean_paired_difference(values)
    _, student = stats.mean_interval(values)
    assert (mean, found.low < mean < found.high) == (12.5, True)
    assert found.high - found.low == pytest.approx(100 * (student.high - student.low), rel=0.05)
    _, turned = stats.mean_paired_difference([-value for value in values])
    assert [turned.low, turned.high] == pytest.approx([-found.high, -found.low])


def test_shares_and_differences_have_their_range() -> None:
    """None at all, and one that is no share, raise."""
    for values in ([], [1.5], [-0.1], [math.nan]):
        with pytest.raises(ValueError, match="at least one, all from 0 to 1"):
            stats.mean_share(values)
    for values in ([], [1.5], [-1.1], [math.nan]):
        with pytest.raises(ValueError, match="at least one, all from -1 to 1"):
            stats.mean_paired_difference(values)


def test_impossible_pairs_and_values_are_refused() -> None:
    """Nothing to resample, what is not finite, too few resamples, negative counts and no pair raise."""
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="finite values"):
            stats.bootstrap_interval(values)
    with pytest.raises(ValueError, match="at least 100 resamples"):
        stats.bootstrap_interval([1.0], resamples=5)
    with pytest.raises(ValueError, match="at least 0"):
        stats.mcnemar_p(-1, 3)
    for counts in ((0, 0, 0, 0), (1, -1, 0, 3)):
        with pytest.raises(ValueError, match="one pair"):
            stats.paired_difference(*counts)
