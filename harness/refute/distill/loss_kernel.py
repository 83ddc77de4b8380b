"""The chunked kernel under the KD loss: value and gradient in one pass, logits only a tile at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from refute.distill.loss_inputs import TeacherTiles

# One tile is chunk x V numbers: 2^25 of them in float32 are 128 MiB, and at most six tiles live at once.
_TILE_NUMBERS = 2**25


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the kernel needs beside its two differentiable inputs."""

    teacher: TeacherTiles | None
    labels: Tensor
    keep: Tensor
    ce_weight: float
    kd_weight: float
    temperature: float
    divisor: float
    dtype: torch.dtype


def fused_kd(hidden: Tensor, weight: Tensor, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Total (differentiable in `hidden` and `weight`), sum of CE, sum of KL (nat, before weights)."""
    learning = torch.is_grad_enabled()
    total, ce_sum, kl_sum = _FusedKd.apply(hidden, weight, plan, learning)  # type: ignore[no-untyped-call]
    return total, ce_sum, kl_sum


class _FusedKd(torch.autograd.Function):
    """The gradient is made in the forward pass, the only place where logits exist; the backward scales it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, plan: Plan, learning: bool) -> tuple[Tensor, ...]:
        to_hidden, to_weight = (learning and bool(needed) for needed in ctx.needs_input_grad[:2])
        log_p = hidden.new_zeros((len(hidden), 1), dtype=plan.dtype)
        kl = hidden.new_zeros(len(hidden), dtype=plan.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            wide = weight.to(plan.dtype)
            hidden_grad = torch.zeros_like(hidden) if to_hidden else None
            weight_grad = torch.zeros_like(wide) if to_weight else None
            for rows in _chunks(len(hidden), len(weight)):
                states = hidden[rows].to(plan.dtype)
                log_p[rows], kl[rows], slope = _tile(states @ wide.T, plan, rows, to_hidden or to_weight)
                if slope is not None and hidden_grad is not None:
                    hidden_grad[rows] = slope @ wide
                if slope is not None and weight_grad is not None:
                    weight_grad.addmm_(slope.T, states)
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        # nll_loss sums positions in the order of torch's own cross entropy: ce_weight = 1 is it, bitwise.
        marks = torch.zeros_like(plan.labels).masked_fill_(~plan.keep, -100)
        ce_sum = functional.nll_loss(log_p, marks, ignore_index=-100, reduction="sum")
        kl_sum = kl.masked_fill_(~plan.keep, 0.0).sum()
        total = plan.ce_weight * ce_sum
        if plan.kd_weight > 0:
            total = total + plan.kd_weight * plan.temperature**2 * kl_sum
        kl_sum = kl_sum if plan.teacher is not None else kl_sum.new_tensor(math.nan)
        ctx.mark_non_differentiable(ce_sum, kl_sum)
        return total / plan.divisor, ce_sum, kl_sum

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        kept, grad_total = ctx.saved_tensors, grads[0]
        return *(None if grad is None else grad * grad_total.to(grad.dtype) for grad in kept), None, None


def _chunks(positions: int, width: int) -> list[slice]:
    """Even spans of at most `_TILE_NUMBERS` numbers: a short last one would take another matrix kernel."""
    count = max(1, math.ceil(positions * width / _TILE_NUMBERS))
    edges = [positions * index // count for index in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges) if last > first]


def _tile(logits: Tensor, plan: Plan, rows: slice, learning: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probability of each label (rows, 1), KL (rows,) and, if `learning`, d total / d logits (rows, V).

    d/dz [ce_weight * CE] = ce_weight * (softmax(z) - onehot); d/dz [kd_weight * T^2 * KL] =
    kd_weight * T * (softmax(z / T) - softmax(t / T)), the T^2 of the loss times the 1 / T of the chain rule.
    """
    masked = ~plan.keep[rows].unsqueeze(1)
    target = plan.labels[rows].unsqueeze(1).masked_fill(masked, 0)
    log_q = functional.log_softmax(logits, dim=-1)
    log_p, kl, slope = log_q.gather(1, target), logits.new_zeros(len(logits)), None
    if learning and plan.ce_weight > 0:
        scale = plan.ce_weight / plan.divisor
        slope = log_q.exp_().mul_(scale).scatter_add_(1, target, torch.full_like(log_p, -scale))
    if plan.teacher is not None:
        log_q = functional.log_softmax(logits.div_(plan.temperature), dim=-1)
        gap = functional.log_softmax(plan.teacher.rows(rows) / plan.temperature, dim=-1)
        share = gap.exp()
        gap.sub_(log_q)
        # Where the teacher is -inf it has no probability, and 0 * (-inf - x) stands for its limit, 0.
        kl = gap.masked_fill_(gap == -math.inf, 0.0).mul_(share).sum(dim=-1)
        if learning and plan.kd_weight > 0:
            pull = log_q.exp_().sub_(share).mul_(plan.kd_weight * plan.temperature / plan.divisor)
            slope = pull if slope is None else slope.add_(pull)
    return log_p, kl, None if slope is None else slope.masked_fill_(masked, 0.0)
