"""AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2), tensor by tensor, and the rate of each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from refute.spec.experiments.training import Training

BETA_1, BETA_2, EPSILON = 0.9, 0.95, 1e-8
# Entries that go through all operations before the next do: so many stay in a processor's cache.
_BLOCK = 1 << 19


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
    blocks = (block for each in gradients.values() for block in torch.split(each.flatten(), _BLOCK))
    squares = [torch.linalg.vector_norm(each, dtype=torch.float64).square() for each in blocks]
    norm = math.sqrt(float(torch.stack(squares).sum())) if squares else 0.0
    if (scale := largest / (norm + 1e-6)) < 1:
        for each in gradients.values():
            each.mul_(scale)
    return norm


@torch.no_grad()
def update(weights: Tensor, gradient: Tensor, moments: Moments, rate: float, weight_decay: float) -> None:
    """One step, in place. Matrices decay, vectors (norms and biases) do not."""
    moments.steps += 1
    kept = 1 - rate * weight_decay if weights.ndim >= 2 else 1.0
    places = (torch.split(each.view(-1), _BLOCK) for each in (weights, moments.first, moments.second))
    for w, first, second, g in zip(*places, torch.split(gradient.flatten(), _BLOCK), strict=True):
        first.mul_(BETA_1).add_(g, alpha=1 - BETA_1)
        second.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
        spread = (second / (1 - BETA_2**moments.steps)).sqrt_().add_(EPSILON)
        w.mul_(kept).addcdiv_(first, spread, value=-rate / (1 - BETA_1**moments.steps))
