"""What a teacher promises the loss, whatever runs it: logits or hidden states at every position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.loss.teacher_forms import TopK
from refute.errors import UsageError


@dataclass(frozen=True, slots=True)
class TeacherOutput:
    """A teacher at the N = windows x positions of a batch, in one of the forms that `kd_loss` takes.

    `logits` (N, >=V), or `hidden` (N, Ht) with `head` (>=V, Ht), or `topk`.
    """

    logits: Tensor | None = None
    hidden: Tensor | None = None
    head: Tensor | None = None
    topk: TopK | None = None

    def tensors(self) -> list[Tensor]:
        """All tensors that were made for this batch."""
        entries = () if self.topk is None else (self.topk.ids, self.topk.logits, self.topk.tail)
        return [tensor for tensor in (self.logits, self.hidden, *entries) if tensor is not None]


class Provider(Protocol):
    """Whoever answers for the teacher during training."""

    def answer(self, batch: Batch) -> TeacherOutput:
        """The teacher at every position of `batch`. Raises NonFiniteError for NaN or +inf."""
        ...


class TeacherModel(Provider, Protocol):
    """A model that is asked, whatever runs it."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast: ...
    @property
    def parameters(self) -> int: ...
    @property
    def vocab_rows(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def size(self) -> int:
        """Bytes of its weights."""
        ...

    def logits(self, input_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """See `Teacher.logits`."""
        ...


def check_ids(input_ids: Tensor, rows: int) -> Tensor:
    """`input_ids` as int64. Raises UsageError for what is no (B, L) integers below `rows`."""
    if input_ids.ndim != 2 or input_ids.dtype not in (torch.int64, torch.int32):
        raise UsageError(f"input_ids must be (B, L) integers, found {tuple(input_ids.shape)} {input_ids.dtype}")
    if input_ids.numel() and (int(input_ids.min()) < 0 or int(input_ids.max()) >= rows):
        raise UsageError(
            f"input_ids reach from {int(input_ids.min())} to {int(input_ids.max())}, the teacher knows 0 to {rows - 1}",
            hint="the corpus was tokenised with another tokenizer",
        )
    return input_ids.long()
