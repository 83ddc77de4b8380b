"""The shuffle: which training windows belong to which optimiser step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from refute.errors import UsageError


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Every epoch visits each of `windows` windows once, in an order that depends on (seed, epoch) alone.

    Its whole state is (seed, step), so resuming needs no iterator. Raises UsageError for a batch that
    is larger than the corpus, because such a step would see a window twice.
    """

    windows: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.batch_size <= self.windows:
            raise UsageError(
                f"batch_size {self.batch_size} needs that many training windows, the corpus has {self.windows}",
                hint="raise corpus.train_tokens or lower training.batch_size",
            )

    def batch(self, step: int) -> list[int]:
        """Window indices of 0-based optimiser step `step`; a batch may straddle two epochs."""
        positions = range(step * self.batch_size, (step + 1) * self.batch_size)
        return [
            epoch_order(self.windows, self.seed, position // self.windows)[position % self.windows]
            for position in positions
        ]


@lru_cache(maxsize=2)
def epoch_order(windows: int, seed: int, epoch: int) -> tuple[int, ...]:
    """A permutation of range(windows): indices sorted by SHA-256 of (seed, epoch, index), the same everywhere."""
    return tuple(sorted(range(windows), key=lambda index: hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()))
