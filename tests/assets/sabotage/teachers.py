"""Sabotages of the teacher's provider and of the models' identification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sabotage.opened import opened

experiments = opened("engines.distill.experiments.teacher")
teacher = opened("engines.distill.teacher.loaded")


def _logits(change: Callable[[Tensor], Tensor]) -> None:
    real = teacher.Teacher.logits

    def logits(self: Any, input_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        return change(real(self, input_ids, positions))

    teacher.Teacher.logits = logits


def synthetic_logits() -> None:
    """Noise of a plausible size."""
    _logits(lambda right: 3.0 * torch.randn(right.shape, generator=torch.Generator().manual_seed(1)))


def logits_of_another_batch() -> None:
    """The right numbers for the other row."""
    _logits(lambda right: right.flip(0))


def logits_of_the_last_position() -> None:
    """One position's logits stand at all of them."""
    _logits(lambda right: right[:, -1:].expand_as(right).contiguous())


def logits_rounded() -> None:
    """Two digits are kept, as a cache that is too small does."""
    _logits(lambda right: (right * 20).round() / 20)


def dropout_left_on() -> None:
    """The teacher answers otherwise when asked again."""
    calls: list[int] = []

    def wobble(right: Tensor) -> Tensor:
        calls.append(1)
        return right + 1e-4 * len(calls)

    _logits(wobble)


def badly_dequantised() -> None:
    """One matrix of the weights comes out transposed in part, and everything runs."""
    real = experiments.load_teacher

    def load(model: Any, path: Path, **settings: Any) -> Any:
        loaded = real(model, path, **settings)
        with torch.no_grad():
            weight = loaded.model.model.layers[0].self_attn.q_proj.weight
            weight.copy_(weight.roll(1, dims=0))
        return loaded

    experiments.load_teacher = load


def said_to_be_ten_times_larger() -> None:
    """The record of the teacher's file multiplies its parameters."""
    real = experiments.describe_model

    def describe(model: Any, path: Path) -> Any:
        identity, tokens = real(model, path)
        larger = 10 if path.name == "teacher" else 1
        return identity.model_copy(update={"parameters": larger * identity.parameters}), tokens

    experiments.describe_model = describe
