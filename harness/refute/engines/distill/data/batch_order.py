"""Which windows belong to which optimiser step, and the windows themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from refute.errors import ExperimentError, UsageError


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


def load_windows(path: Path, *, vocab_size: int, seq_len: int | None = None) -> torch.Tensor:
    """Tensor `tokens` of a corpus file as int64, shape (windows, seq_len).

    Raises ExperimentError when it is truncated, of another length than `seq_len` (when one is given), or holds
    ids outside [0, vocab_size).
    """
    try:
        tokens = load_file(path)["tokens"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ExperimentError(f"{path} is not a corpus file: {error}") from error
    if tokens.ndim != 2 or not len(tokens) or seq_len not in (None, tokens.shape[1]):
        raise ExperimentError(
            f"{path}: tokens have shape {tuple(tokens.shape)}, expected (windows, {seq_len or 'any length'})"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocab_size:
        raise ExperimentError(f"{path}: ids lie in [{low}, {high}], the model's vocabulary in [0, {vocab_size})")
    return tokens.long()
