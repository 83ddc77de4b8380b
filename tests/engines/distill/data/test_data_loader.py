"""Every rank makes the same batch of a step, and takes its own micro-batches of it."""

from __future__ import annotations

import torch

from refute.engines.distill.data.batch_order import BatchOrder
from refute.engines.distill.data.data_loader import DataLoader

WINDOWS = torch.arange(40).reshape(10, 4)


def _loader(rank: int = 0, world_size: int = 1) -> DataLoader:
    return DataLoader(
        WINDOWS, BatchOrder(10, 8, seed=3), None, None, micro_batch_size=2, rank=rank, world_size=world_size
    )


def test_a_batch_holds_the_windows_of_its_step() -> None:
    """Step by step what the order says, though asked for out of order."""
    loader = _loader()
    for step in (3, 0):
        expected = WINDOWS[BatchOrder(10, 8, seed=3).batch(step)]
        assert torch.equal(loader.batch(step).ids, expected[:, :-1])
        assert torch.equal(loader.batch(step).labels, expected[:, 1:])


def test_ranks_share_a_batch_without_rest_or_overlap() -> None:
    """Two ranks take two micro-batches each; together they are those of one."""
    batch = _loader().batch(0)
    alone = [part.ids for part in _loader().micro_batches(batch)]
    first, second = ([part.ids for part in _loader(rank, 2).micro_batches(batch)] for rank in (0, 1))
    assert len(alone) == 4
    assert all(map(torch.equal, alone, (first[0], second[0], first[1], second[1])))


def test_one_window_is_read_as_in_a_batch() -> None:
    """A window alone has the ids and labels that it has in any batch."""
    assert _loader().window(7).ids.tolist() == [[28, 29, 30]]
    assert _loader().window(7).labels.tolist() == [[29, 30, 31]]
