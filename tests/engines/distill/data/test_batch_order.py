"""Batches are a pure function of seed and step; corpus files are checked when they are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from refute.engines.distill.data.batch_order import BatchOrder, load_windows
from refute.errors import ExperimentError, UsageError


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


@pytest.mark.parametrize(
    ("tokens", "match"),
    [
        (torch.zeros((2, 5), dtype=torch.int32), r"expected \(windows, 4\)"),
        (torch.zeros((0, 4), dtype=torch.int32), r"shape \(0, 4\)"),
        (torch.full((2, 4), 9, dtype=torch.int32), r"vocabulary in \[0, 9\)"),
        (torch.full((2, 4), -1, dtype=torch.int32), r"ids lie in \[-1, -1\]"),
    ],
)
def test_windows_that_do_not_fit_are_refused(tmp_path: Path, tokens: torch.Tensor, match: str) -> None:
    """Length, emptiness and ids outside the vocabulary are noticed before training."""
    save_file({"tokens": tokens}, tmp_path / "train.safetensors")
    with pytest.raises(ExperimentError, match=match):
        load_windows(tmp_path / "train.safetensors", vocab_size=9, seq_len=4)


def test_truncated_corpus_file_is_refused(tmp_path: Path) -> None:
    """A file cut short is an error that names it, not fewer windows."""
    path = tmp_path / "train.safetensors"
    save_file({"tokens": torch.zeros((8, 4), dtype=torch.int32)}, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ExperimentError, match=r"train.safetensors is not a corpus file"):
        load_windows(path, vocab_size=9, seq_len=4)
