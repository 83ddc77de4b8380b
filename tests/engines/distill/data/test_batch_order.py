"""Batches are a pure function of seed and step."""

from __future__ import annotations

from collections import Counter

import pytest

from refute.engines.distill.data.batch_order import BatchOrder
from refute.errors import UsageError


def test_every_epoch_visits_each_window_once() -> None:
    """Three epochs of 10 windows in batches of 4 name every window three times, across epoch borders too."""
    order = BatchOrder(10, 4, seed=3)
    seen = [window for step in range(5) for window in order.batch(step)]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert Counter(seen) == dict.fromkeys(range(10), 2)


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    """Asking again, out of order, gives the same batch; another seed or epoch gives another order."""
    order, again, other = BatchOrder(20, 20, seed=3), BatchOrder(20, 20, seed=3), BatchOrder(20, 20, seed=4)
    later = again.batch(7)
    assert order.batch(0) == again.batch(0)
    assert order.batch(7) == later
    assert order.batch(0) != order.batch(1)
    assert order.batch(0) != other.batch(0)


def test_order_is_fixed_across_versions() -> None:
    """The order is part of the evidence: this one must never change."""
    assert BatchOrder(6, 6, seed=17).batch(0) == [5, 0, 4, 1, 3, 2]


def test_batch_larger_than_the_corpus_is_refused() -> None:
    """A batch that would repeat a window names both numbers."""
    with pytest.raises(UsageError, match=r"batch_size 8 .* the corpus has 7"):
        BatchOrder(7, 8, seed=1)
