"""pass@k and the intervals around shares, against enumeration and closed forms."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite

if TYPE_CHECKING:
    from refute.check.contracts.tolerance import Tolerance

_ESTIMATE = "refute.engines.humaneval.scoring.pass_at_k:pass_at_k"
_WILSON = "refute.stats:wilson_interval"
_EXACT = "refute.stats:exact_interval"
COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
SMALL = st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(case=SMALL)
def estimate_is_the_mean_over_all_draws(case: tuple[int, int, int], within: Tolerance) -> None:
    """Of all k-subsets of n samples of which c pass, the share that holds a pass, by enumeration."""
    from refute.engines.humaneval.scoring.pass_at_k import pass_at_k

    n, c, k = case
    draws = list(itertools.combinations(range(n), k))
    share = Fraction(sum(min(draw) < c for draw in draws), len(draws))
    assert within.admits(pass_at_k(n, c, k), float(share))


@given(chance=st.fractions(0, 1, max_denominator=12), case=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def estimate_is_unbiased(chance: Fraction, case: tuple[int, int], within: Tolerance) -> None:
    """Its expectation over c ~ Binomial(n, p) is 1 - (1 - p)^k."""
    from refute.engines.humaneval.scoring.pass_at_k import pass_at_k

    n, k = max(case), min(case)
    weights = (math.comb(n, c) * chance**c * (1 - chance) ** (n - c) for c in range(n + 1))
    mean = math.fsum(float(weight) * pass_at_k(n, c, k) for c, weight in enumerate(weights))
    assert within.admits(100 * mean, 100 * float(1 - (1 - chance) ** k))


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=12))
def every_sample_counts(rows: list[tuple[int, bool, bool]], within: Tolerance) -> None:
    """pass@1 of a run is the mean, over problems, of passes / samples; timed out and failed samples are samples."""
    from refute.engines.humaneval.scoring.result_log import Row
    from refute.engines.humaneval.scoring.tally import count, mean_pass_at_k

    def row(task: int, passed: bool, late: bool) -> Row:
        return Row(f"t{task}", "", "passed" if passed else "timed out" if late else "failed: x", passed, 0, late)

    found = mean_pass_at_k(list(count(row(*each) for each in rows).values()))
    tasks = sorted({task for task, _, _ in rows})
    passes = [[passed for task, passed, _ in rows if task == each] for each in tasks]
    expected = sum(Fraction(sum(each), len(each)) for each in passes) / len(tasks)
    assert within.admits(100 * found[1], 100 * float(expected))


@given(counts=COUNTS, level=st.sampled_from([0.8, 0.95, 0.99]))
def wilson_ends_at_the_roots(counts: tuple[int, int], level: float, within: Tolerance) -> None:
    """The two roots of (p - c/n)^2 = z^2 p (1 - p) / n."""
    from scipy.stats import norm

    from refute.stats import wilson_interval

    passed, n = counts
    z, share = float(norm.ppf((1 + level) / 2)), passed / n
    found = wilson_interval(passed, n, level=level)
    for end in (found.low / 100, found.high / 100):
        assert within.admits(100 * (end - share) ** 2, 100 * z * z * end * (1 - end) / n)
    if 0 < passed < n:
        assert found.low < 100 * share < found.high
    assert 0 <= found.low <= 100 * share <= found.high <= 100


@given(n=st.integers(1, 25), chance=st.floats(0.01, 0.99), level=st.sampled_from([0.8, 0.95]))
def exact_interval_covers(n: int, chance: float, level: float, within: Tolerance) -> None:
    """Clopper-Pearson holds the true share with at least its level, whatever the share; summed over all outcomes."""
    from refute.stats import exact_interval

    covered = 0.0
    for passed in range(n + 1):
        found = exact_interval(passed, n, level=level)
        if found.low <= 100 * chance <= found.high:
            covered += math.comb(n, passed) * chance**passed * (1 - chance) ** (n - passed)
    assert 100 * covered >= 100 * level - within.value


@given(gained=st.integers(0, 40), lost=st.integers(0, 40))
def mcnemar_agrees_with_its_interval(gained: int, lost: int, within: Tolerance) -> None:
    """The interval excludes 50 % exactly if the exact test rejects; swapping the models mirrors it."""
    from refute.stats import mcnemar_p, mcnemar_share

    n, uneven = gained + lost, abs(gained - lost)
    tosses = sum(math.comb(n, heads) for heads in range(n + 1) if abs(2 * heads - n) >= uneven)
    assert within.admits(100 * mcnemar_p(gained, lost), 100 * (tosses / 2**n))
    (share, found), (mirrored, other) = mcnemar_share(gained, lost), mcnemar_share(lost, gained)
    assert within.admits([share, found.low, found.high], [100 - mirrored, 100 - other.high, 100 - other.low])
    assert (found.low > 50) == (gained > lost and tosses / 2**n < 0.05)


biased_estimator = Rewrite(
    _ESTIMATE, {"float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))": "1 - (1 - c / n) ** k"}
)
one_draw_only = Rewrite(_ESTIMATE, {"math.comb(n - c, k), math.comb(n, k)": "math.comb(n - c, 1), math.comb(n, 1)"})
late_samples_pass = Rewrite(
    "refute.engines.humaneval.scoring.tally:count",
    {"before.passed + row.passed": "before.passed + (row.passed or row.retried)"},
)
_HALF = "half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)"
wald = Rewrite(
    _WILSON,
    {
        "middle = (share + z * z / (2 * n)) / (1 + z * z / n)": "middle = share",
        _HALF: "half = z * math.sqrt(share * (1 - share) / n)",
    },
)
continuity_corrected = Rewrite(_WILSON, {_HALF: f"{_HALF} + 1 / (2 * n)"})
share_for_percent = Rewrite(_WILSON, {"100 * low, 100 * high": "low, high"})
one_sided = Rewrite(_EXACT, {"tail, failures = (1 - level) / 2": "tail, failures = 1 - level"})
wilson_for_exact = Rewrite(
    _EXACT,
    {
        "Interval(100 * low, 100 * high": (
            "Interval(wilson_interval(successes, n, level=level).low, wilson_interval(successes, n, level=level).high"
        )
    },
)
one_sided_p = Rewrite("refute.stats:mcnemar_p", {"2 * tail": "tail"})
all_pairs_for_discordant = Rewrite(
    "refute.stats:mcnemar_share",
    {"exact_interval(gained, n, level=level)": "exact_interval(gained, n + 9, level=level)"},
)
failures_not_counted = Rewrite(
    "refute.engines.humaneval.scoring.tally:count", {"before.n + 1": "before.n + (row.passed or before.n == 0)"}
)
