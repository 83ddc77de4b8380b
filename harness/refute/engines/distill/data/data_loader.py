"""The data loader: the batch of every optimiser step, and the micro-batches of it that are this rank's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from refute.engines.distill.data.batch_order import BatchOrder
from refute.engines.distill.data.dataset import Windows
from refute.engines.distill.data.packing import Batch, pack


@dataclass(frozen=True, slots=True)
class DataLoader:
    """`order` chooses windows, `pack` makes a batch of them, ranks take its micro-batches in turn.

    It has no state: a step's batch follows from the step alone, so a run that resumes needs no iterator. With
    `end_of_document` (the id that closes each document) documents do not see each other; with None they do.
    `beginning_of_sequence` is the id that each window begins with, if any.
    """

    windows: Windows
    order: BatchOrder
    end_of_document: int | None
    beginning_of_sequence: int | None
    micro_batch_size: int
    rank: int = 0
    world_size: int = 1

    def batch(self, step: int) -> Batch:
        """The batch of 0-based optimiser step `step`, over all ranks, on the CPU."""
        return self.pack(self.windows[self.order.batch(step)])

    def micro_batches(self, batch: Batch) -> Sequence[Batch]:
        """The micro-batches of `batch` that are this rank's, on the CPU."""
        return batch.split(self.micro_batch_size)[self.rank :: self.world_size]

    def window(self, index: int) -> Batch:
        """Window `index` alone."""
        return self.pack(self.windows[[index]])

    def pack(self, windows: Tensor) -> Batch:
        """Windows (windows, seq_len) as this run reads them."""
        return pack(windows, self.end_of_document, self.beginning_of_sequence)
