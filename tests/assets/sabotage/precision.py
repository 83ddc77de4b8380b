"""Sabotages of the numbers that a run computes with: each has fewer bits than it says.

Each applies itself to the real modules of `refute.engines.distill` in the process that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from refute.spec.experiments.training import Training
from sabotage.opened import opened

step = opened("engines.distill.training.step")


@torch.no_grad()
def _round(tensors: Iterable[Tensor]) -> None:
    for each in tensors:
        each.copy_(each.to(torch.bfloat16))


def _after_steps(found: Callable[[Any], Iterable[Tensor]]) -> None:
    """Round what `found` finds in the optimiser after each of its steps."""
    real = torch.optim.AdamW.step

    def made(self: Any, *arguments: object) -> None:
        real(self, *arguments)
        _round(found(self))

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def _parameters(optimizer: Any) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def weights_in_sixteen_bits() -> None:
    """What each step begins with are numbers of bfloat16, in float32."""
    _after_steps(_parameters)


def second_moments_in_sixteen_bits() -> None:
    """The optimiser keeps them as bfloat16 does, from the step that is looked at on."""
    _after_steps(lambda optimizer: [each["exp_avg_sq"] for each in optimizer.state.values()])


def gradients_in_sixteen_bits() -> None:
    """As where they are exchanged, or kept, in half the memory."""
    real = torch.optim.AdamW.step

    def made(self: Any, *arguments: object) -> None:
        _round([each.grad for each in _parameters(self) if each.grad is not None])
        real(self, *arguments)

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def products_in_sixteen_bits() -> None:
    """The student computes in bfloat16; run and release say float32."""
    real = step.StepModule.__init__

    def init(self: Any, student: Any, training: Training) -> None:
        real(self, student, training.model_copy(update={"dtype": "bfloat16"}))

    step.StepModule.__init__ = init
