"""Who fills a cache of top-k entries: a model that is loaded here, and the interface of whoever else can say them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import TeacherModel


@dataclass(frozen=True, slots=True)
class TopEntries:
    """A teacher after each of P tokens: its k likeliest `ids` (P, k), and by how much the `logits` (P, k) of these lie
    below the largest of the row.

    `tail` (P,) is the log of what all other entries weigh together at the run's temperature, relative to the largest
    entry; `mass` (P,) their probability at T = 1.
    """

    ids: Tensor
    logits: Tensor
    tail: Tensor
    mass: Tensor


class TopKSource(Protocol):
    """Whoever is asked about the windows of a corpus; `served` is the name of a model that no file here identifies."""

    @property
    def served(self) -> str | None: ...

    def top(self, batch: Batch, k: int, temperature: float) -> TopEntries:
        """The k likeliest at every position of a window. Raises NonFiniteError for what is no number."""
        ...

    def log_probs(self, batch: Batch, ids: Tensor, temperature: float) -> Tensor:
        """Log-probabilities (P, k) of `ids` (P, k), asked for once more: a cache is read back against them."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A teacher in this process, cut to the student's vocabulary."""

    teacher: TeacherModel
    vocab_size: int
    served: None = None

    def top(self, batch: Batch, k: int, temperature: float) -> TopEntries:
        """See `TopKSource`."""
        logits = self._logits(batch)
        best = logits.topk(k, dim=-1)
        below = logits - best.values[:, :1]
        rest = below.scatter(1, best.indices, -torch.inf)
        tail, mass = (rest / temperature).logsumexp(dim=-1), rest.logsumexp(dim=-1).exp() / below.exp().sum(dim=-1)
        return TopEntries(best.indices, best.values - best.values[:, :1], tail, mass)

    def log_probs(self, batch: Batch, ids: Tensor, temperature: float) -> Tensor:
        """See `TopKSource`."""
        return functional.log_softmax(self._logits(batch).cpu() / temperature, dim=-1).gather(1, ids)

    def _logits(self, batch: Batch) -> Tensor:
        return self.teacher.logits(batch.ids, batch.positions)[0, :, : self.vocab_size]
