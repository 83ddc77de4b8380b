"""AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2), tensor by tensor, and the rate of each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from refute.spec.release import Training

BETA_1, BETA_2, EPSILON = 0.9, 0.95, 1e-8


@dataclass(slots=True)
class Moments:
    """Running means of the gradient and of its square, after `steps` steps."""

    first: Tensor
    second: Tensor
    steps: int = 0

    @classmethod
    def of(cls, weights: Tensor) -> Moments:
        """As they are before the first step."""
        return cls(torch.zeros_like(weights), torch.zeros_like(weights))


def rate(training: Training, step: int) -> float:
    """The declared rate of 1-based `step`: up in equal parts for the warm-up, then half a cosine to the minimum."""
    warmup, peak, low = training.warmup_steps, training.learning_rate, training.min_learning_rate
    if step <= warmup:
        return peak * step / warmup
    last = training.steps - warmup - 1
    share = min(1.0, (step - warmup - 1) / last) if last > 0 else 0.0
    return low + (peak - low) * (1 + math.cos(math.pi * share)) / 2


def clip(gradients: Mapping[str, Tensor], largest: float) -> float:
    """Scales the gradients, in place, to a common norm of at most `largest`; the norm that they had."""
    norms = (torch.linalg.vector_norm(each, dtype=torch.float64) for each in gradients.values())
    norm = math.hypot(*map(float, norms))
    if (scale := largest / (norm + 1e-6)) < 1:
        for each in gradients.values():
            each.mul_(scale)
    return norm


@torch.no_grad()
def update(weights: Tensor, gradient: Tensor, moments: Moments, rate: float, weight_decay: float) -> None:
    """One step, in place. Matrices decay, vectors (norms and biases) do not."""
    moments.steps += 1
    moments.first.mul_(BETA_1).add_(gradient, alpha=1 - BETA_1)
    moments.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    spread = (moments.second / (1 - BETA_2**moments.steps)).sqrt_().add_(EPSILON)
    if weights.ndim >= 2:
        weights.mul_(1 - rate * weight_decay)
    weights.addcdiv_(moments.first, spread, value=-rate / (1 - BETA_1**moments.steps))
