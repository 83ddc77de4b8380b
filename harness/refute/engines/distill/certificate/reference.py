"""The divergences written a second time: torch's own KLDivLoss in float64, for autograd, with every logit at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def reference_divergence(log_p: Tensor, log_q: Tensor, divergence: str, beta: float | None) -> Tensor:
    """The divergence of a teacher's log-probabilities `log_p` from a student's `log_q` (N, V), a position each."""
    p, q = log_p.exp(), log_q.exp()
    if beta is not None:
        log_m = (beta * p + (1 - beta) * q).log()
        return beta * _kl(p, log_m) + (1 - beta) * _kl(q, log_m)
    return _kl(p, log_q) if divergence == "forward_kl" else _kl(q, log_p)


def log_shares(logits: Tensor, temperature: float) -> Tensor:
    """Log-probabilities of logits at a temperature, in float64."""
    return functional.log_softmax(logits.double() / temperature, dim=-1)


def _kl(left: Tensor, log_right: Tensor) -> Tensor:
    """KL(left || right); torch.nn.KLDivLoss takes the right one first, and its logarithm."""
    found: Tensor = torch.nn.KLDivLoss(reduction="none")(log_right, left)
    return found.sum(dim=-1)
