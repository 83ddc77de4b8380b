"""The optimiser: AdamW, which parameters decay, and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn

from refute.spec.experiments.training import Training

# Common to GPT-3 (arXiv:2005.14165, appendix B) and the language models after it.
BETAS = (0.9, 0.95)


def learning_rate(training: Training, step: int) -> float:
    """Rate of 0-based `step`: linear from rate / warmup_steps to rate, then cosine down to the minimum at the last."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    after = training.steps - training.warmup_steps
    progress = (step - training.warmup_steps) / max(1, after - 1)
    height = training.learning_rate - training.min_learning_rate
    return training.min_learning_rate + height * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def build_optimizer(model: nn.Module, training: Training) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; norms, biases and other vectors do not decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=training.learning_rate, betas=BETAS, fused=True
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Every group's rate for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
