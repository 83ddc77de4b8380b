"""Temperature and top-p (nucleus) sampling: draws tokens from logits by given random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def sample_top_p(logits: torch.Tensor, chances: Sequence[float], *, temperature: float, top_p: float) -> list[int]:
    """One token id a row of `logits` (rows, vocabulary), by inverting the distribution at the row's chance in [0, 1).

    The distribution is the softmax at `temperature`, cut to the smallest set of tokens that reaches `top_p`. It is laid
    out by token id, not by rank: logits that differ in their last bits, as they do between batches, then change a draw
    only where the chance lies within those bits of a token's edge.
    """
    probabilities = torch.softmax(logits.to(torch.float64) / temperature, dim=-1)
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    layout = torch.zeros_like(probabilities).scatter(-1, ids, ordered * kept).cumsum(-1)
    total = layout[:, -1:]
    targets = total * torch.tensor(chances, dtype=torch.float64, device=logits.device)[:, None]
    # Rounding may lift the largest chance to the total, behind which there is no token.
    targets = torch.minimum(targets, torch.nextafter(total, torch.zeros_like(total)))
    picked: list[int] = torch.searchsorted(layout, targets, right=True)[:, 0].tolist()
    return picked
