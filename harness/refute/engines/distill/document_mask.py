"""Whether a model keeps documents apart where positions restart: many architectures read on, and say nothing."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from refute.errors import ExperimentError

# Of the largest logit; what is masked weighs nothing, so honest differences are 0 or rounding.
_ROUNDING = {"float32": 1e-5, "bfloat16": 1e-2}

_LONGEST = 256  # ids, so that the logits of a large vocabulary stay small


class Answer(Protocol):
    """A model that is asked."""

    def __call__(self, ids: Tensor, positions: Tensor, /) -> Tensor:
        """Logits (1, L, V) of `ids` (1, L) at `positions` (1, L)."""
        ...


@torch.no_grad()
def refuse_crossing(who: str, answer: Answer, ids: Tensor, *, dtype: str) -> None:
    """Raise ExperimentError if the second of two documents in `ids` (1, L) is answered otherwise after another first.

    Every id of the first is exchanged. `who` is the model in words, `dtype` what it computes in.
    """
    ids = ids[:, :_LONGEST]
    length = ids.shape[1]
    half = length // 2
    if half == 0:
        return
    index = torch.arange(length, device=ids.device)
    positions = torch.where(index < half, index, index - half)[None]
    other = ids.clone()
    other[:, :half] = ids[:, half : 2 * half].roll(1, dims=1)
    # An id that the roll left as it was becomes its neighbour: one less, or 1 in the place of 0.
    other[:, :half] += (other[:, :half] == ids[:, :half]).long() * (1 - 2 * (ids[:, :half] > 0).long())
    before, after = answer(ids, positions)[0].float(), answer(other, positions)[0].float()
    moved = (before[half:] - after[half:]).abs().max().item()
    if moved > _ROUNDING[dtype] * before.abs().amax().item():
        raise ExperimentError(
            f"training.document_mask is on, and the {who} reads across documents: another document before it moves "
            f"its logits by up to {moved:.3g}, expected not at all",
            hint="its architecture does not separate packed documents in transformers; set document_mask: false, or "
            "choose another one, such as llama, qwen2 or mistral",
        )
