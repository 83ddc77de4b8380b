"""Inputs of the KD loss, and what it must come to, written out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from refute.distill import KdLoss, kd_loss
from refute.engines.distill.loss.teacher_forms import TopK


def inputs(
    seed: int = 0, positions: int = 6, width: int = 11, hidden: int = 4, extra: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Student states (N, H) and head (V, H), teacher logits (N, V + extra) and labels (N,), in float64."""
    source = torch.Generator().manual_seed(seed)
    states = torch.randn(positions, hidden, generator=source, dtype=torch.float64).requires_grad_()
    weight = torch.randn(width, hidden, generator=source, dtype=torch.float64).requires_grad_()
    teacher = 3 * torch.randn(positions, width + extra, generator=source, dtype=torch.float64)
    return states, weight, teacher, torch.randint(0, width, (positions,), generator=source)


def written_out(
    states: Tensor, weight: Tensor, teacher: Tensor, labels: Tensor, ce: float, kd: float, t: float
) -> Tensor:
    """ce * CE + kd * t^2 * KL(teacher || student), means over the supervised positions."""
    keep = labels != -100
    logits = (states @ weight.T)[keep]
    shares = torch.softmax(teacher[keep, : len(weight)] / t, -1)
    kl = (shares * (shares.log() - torch.log_softmax(logits / t, -1))).sum()
    return (ce * functional.cross_entropy(logits, labels[keep], reduction="sum") + kd * t * t * kl) / keep.sum()


def usual_loss(states: Tensor, weight: Tensor, teacher: Tensor | None, labels: Tensor, **more: object) -> KdLoss:
    """`kd_loss` with the weights 0.3 and 0.7 at temperature 2."""
    return kd_loss(states, weight, teacher, labels, ce_weight=0.3, kd_weight=0.7, temperature=2.0, **more)  # type: ignore[arg-type]


def top_entries(teacher: Tensor, k: int, temperature: float) -> TopK:
    """The k largest entries of each row of logits, and the log of what all others weigh."""
    best = teacher.topk(k, dim=-1)
    rest = (teacher / temperature).scatter(1, best.indices, -torch.inf).logsumexp(dim=-1)
    return TopK(best.indices, best.values, rest, temperature)
