"""Shares and differences of results of other tools: the interval is that of the data, and errors widen it."""

from __future__ import annotations

import pytest

from refute import Interval, stats
from refute_falsifiers.results._figures import by_category, difference, share, spanning, worst


def test_single_passes_have_exact_limits() -> None:
    """Near 0 and 100 %, too."""
    for solved in (0, 3, 163, 164):
        value, interval = share([1.0] * solved + [0.0] * (164 - solved))
        assert value == pytest.approx(100 * solved / 164)
        assert interval == stats.exact_interval(solved, 164)


def test_several_answers_are_counted_over_items() -> None:
    """Eight answers to an item are not eight items."""
    shares = [0.125 * (n % 9) for n in range(164)]
    assert share(shares) == stats.mean_share(shares)
    assert difference(shares, shares[::-1]) == stats.mean_paired_difference(
        [new - old for new, old in zip(shares, shares[::-1], strict=True)]
    )


def test_items_that_are_alike_widen_the_interval() -> None:
    """A hundred items of ten documents say less than a hundred; and never more, whatever the documents."""
    passed = [float(n // 10 % 2) for n in range(100)]
    documents = [str(n // 10) for n in range(100)]
    alone, alike = share(passed)[1], share(passed, documents)[1]
    assert alike.low < alone.low
    assert alike.high > alone.high
    spread = [float(n % 2) for n in range(100)]
    assert share(spread, documents)[1].high >= share(spread)[1].high


def test_documents_that_all_came_to_the_same_are_few() -> None:
    """Ten documents without a failure are ten trials, not a hundred."""
    documents = [str(n // 10) for n in range(100)]
    assert share([1.0] * 100, documents) == (100.0, stats.exact_interval(10, 10))
    assert difference([1.0] * 100, [1.0] * 100, documents)[1] == stats.mean_paired_difference([0.0] * 10)[1]


def test_pairs_of_single_passes_are_newcombes() -> None:
    """Both, gained, lost and neither."""
    new, old = [1.0, 1.0, 0.0, 0.0] * 25, [1.0, 0.0, 1.0, 0.0] * 25
    assert difference(new, old) == (0.0, stats.paired_difference(25, 25, 25, 25))


def test_an_answer_without_a_score_may_be_anything() -> None:
    """The interval reaches from where it failed to where it passed."""
    value, interval = spanning(share([1.0, 0.0, 0.0]), share([1.0, 0.0, 1.0]))
    assert value == pytest.approx(100 / 3)
    assert (interval.low, interval.high) == (stats.exact_interval(1, 3).low, stats.exact_interval(2, 3).high)


def test_the_weakest_category_speaks_for_all() -> None:
    """Its own limit below; above, the limit that allows for two categories."""
    found = by_category(
        {str(n): float(n % 2 and n < 50) for n in range(100)}, ["odd" if n % 2 else "even" for n in range(100)]
    )
    value, interval = worst(lambda name, level: share(found[name], level=level), list(found))
    stricter = stats.exact_interval(0, 50, level=0.975)
    assert value == 0.0
    assert isinstance(interval, Interval)
    assert (interval.low, interval.high) == (0.0, stricter.high)
