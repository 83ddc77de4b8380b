"""The matrix products of a language-model head, in one precision."""

from __future__ import annotations

import torch
from torch import Tensor


class Head:
    """Products with a head (V, H), computed in `dtype`.

    CUDA multiplies bfloat16 operands into float32 results at tensor-core speed (torch.mm's out_dtype); anywhere
    else the operands are converted first. Rounding a slope to bfloat16 for that costs at most 2^-9 of each entry.
    """

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        self._mixed = weight.is_cuda and weight.dtype == torch.bfloat16 and dtype == torch.float32
        self._weight = weight.detach() if self._mixed else weight.detach().to(dtype)

    def logits(self, states: Tensor) -> Tensor:
        """(N, H) -> (N, V)."""
        return self._product(states, self._weight.T)

    def to_states(self, slope: Tensor) -> Tensor:
        """The gradient (N, H) of states whose logits have the gradient `slope` (N, V)."""
        return self._product(slope, self._weight)

    def add_to_weight(self, total: Tensor, slope: Tensor, states: Tensor) -> None:
        """Adds the gradient of the head to `total` (V, H)."""
        if self._mixed:
            total += self._product(slope.T, states)
        else:
            total.addmm_(slope.T, states.to(self._weight.dtype))

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        left, right = left.to(self._weight.dtype), right.to(self._weight.dtype)
        return torch.mm(left, right, out_dtype=torch.float32) if self._mixed else left @ right
