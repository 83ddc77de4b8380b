"""The teacher of the KD loss, in the forms that it comes in: logits, hidden states with a head, top-k entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.loss.head import Head

# Positions by number, or as a span.
Rows = Tensor | slice


class TeacherTile(Protocol):
    """A teacher at some positions."""

    def log_probs(self, block: slice, temperature: float, log_q: Tensor) -> Tensor:
        """The teacher's log-probabilities (positions in `block`, V) at `temperature`, as a tensor that may be changed.

        `log_q` are the student's at the same positions, for a teacher that does not know all of its own.
        """
        ...


class TeacherTiles(Protocol):
    """A teacher of N positions, cut to the student's vocabulary, handed out a few positions at a time."""

    def tile(self, rows: Rows) -> TeacherTile:
        """The positions with these indices."""
        ...


@dataclass(frozen=True, slots=True)
class TopK:
    """Teacher rows of which only the k most likely entries are known, and what all others weigh together.

    `ids` (N, k) int64, distinct in a row; `logits` (N, k), up to a constant a row; `tail` (N,), the log of the sum
    of exp(logit / T) over all other entries with the same constant, -inf where there are none; `temperature` is T.
    """

    ids: Tensor
    logits: Tensor
    tail: Tensor
    temperature: float


@dataclass(frozen=True, slots=True)
class LogitTile:
    """Logits (positions, V)."""

    logits: Tensor
    dtype: torch.dtype

    def log_probs(self, block: slice, temperature: float, log_q: Tensor) -> Tensor:
        return functional.log_softmax(self.logits[block].to(self.dtype) / temperature, dim=-1)


@dataclass(frozen=True, slots=True)
class LogitTiles:
    """A teacher given as logits (N, >=V): padding ids beyond V are cut off, never masked."""

    logits: Tensor
    width: int
    dtype: torch.dtype

    def tile(self, rows: Rows) -> LogitTile:
        return LogitTile(self.logits[rows, : self.width], self.dtype)


@dataclass(frozen=True, slots=True)
class HiddenTiles:
    """A teacher given as hidden states (N, Ht) and head (V, Ht), which are smaller than its logits."""

    hidden: Tensor
    head: Head
    dtype: torch.dtype

    def tile(self, rows: Rows) -> LogitTile:
        return LogitTile(self.head.logits(self.hidden[rows]), self.dtype)


@dataclass(frozen=True, slots=True)
class TopKTile:
    """Top-k entries of some positions."""

    ids: Tensor
    logits: Tensor
    tail: Tensor
    temperature: float

    def log_probs(self, block: slice, temperature: float, log_q: Tensor) -> Tensor:
        """The tail's probability is spread as the student spreads its own over the same entries.

        That adds nothing to the divergence within the tail, so the result is that between k + 1 outcomes: k tokens
        and `any other`. It never exceeds the full one (data processing inequality). The same holds of its slope.
        """
        ids, top, tail = self.ids[block], self.logits[block] / temperature, self.tail[block, None]
        whole = torch.logaddexp(top.logsumexp(dim=-1, keepdim=True), tail)
        students_tail = log_q.scatter(1, ids, -torch.inf).logsumexp(dim=-1, keepdim=True)
        return (log_q + (tail - whole - students_tail)).scatter_(1, ids, top - whole)


@dataclass(frozen=True, slots=True)
class TopKTiles:
    """A teacher given as top-k entries; its temperature is the loss's."""

    entries: TopK
    dtype: torch.dtype

    def tile(self, rows: Rows) -> TopKTile:
        known = self.entries
        return TopKTile(
            known.ids[rows], known.logits[rows].to(self.dtype), known.tail[rows].to(self.dtype), known.temperature
        )
