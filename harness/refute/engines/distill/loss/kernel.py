"""The chunked kernel under the KD loss: value and gradient in one pass, logits only a tile at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from refute.engines.distill.loss.divergences import Divergence
from refute.engines.distill.loss.head import Head
from refute.engines.distill.loss.teacher_forms import Rows, TeacherTile, TeacherTiles


@dataclass(frozen=True, slots=True)
class Sizes:
    """Into what the work is cut, in numbers (positions x V).

    A tile is one call of the matrix products: 2^26 numbers in float32 are 256 MiB, and two tiles live at most, the
    student's (whose memory becomes the slope's) and the teacher's. Within it, the CPU works on blocks that stay in its
    cache: 2^20 numbers are 4 MiB, and five are in use. Measured on 2 cores, V = 151,936, 512 tokens, CPU seconds: tiles
    of 2^24 11.2 to 13.1, 2^25 10.0 to 11.2, 2^26 8.8 to 10.8.
    """

    tile: int = 2**26
    block: int = 2**20


_SIZES: ContextVar[Sizes] = ContextVar("sizes")
_USUAL = Sizes()


@contextmanager
def tile_sizes(sizes: Sizes) -> Iterator[None]:
    """Other sizes for the calls inside; the result must not depend on them, and the certificate tries."""
    token = _SIZES.set(sizes)
    try:
        yield
    finally:
        _SIZES.reset(token)


@dataclass(frozen=True, slots=True)
class LossTerms:
    """All that the kernel needs beside its two differentiable inputs."""

    teacher: TeacherTiles | None
    divergence: Divergence
    labels: Tensor
    keep: Tensor
    ce_weight: float
    kd_weight: float
    temperature: float
    divisor: float
    dtype: torch.dtype


def fused_kd(hidden: Tensor, weight: Tensor, terms: LossTerms) -> tuple[Tensor, Tensor, Tensor]:
    """Total (differentiable in `hidden` and `weight`), sum of CE, sum of the divergence (nat, before weights)."""
    learning = torch.is_grad_enabled()
    total, ce_sum, kl_sum = _FusedKd.apply(hidden, weight, terms, learning)  # type: ignore[no-untyped-call]
    return total, ce_sum, kl_sum


class _FusedKd(torch.autograd.Function):
    """The gradient is made in the forward pass, the only place where logits exist; the backward scales it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, terms: LossTerms, learning: bool) -> tuple[Tensor, ...]:
        to_hidden, to_weight = (learning and bool(needed) for needed in ctx.needs_input_grad[:2])
        log_p = hidden.new_zeros((len(hidden), 1), dtype=terms.dtype)
        kl = hidden.new_zeros(len(hidden), dtype=terms.dtype)
        # Positions by number, or as a slice where all count: then nothing has to be gathered.
        index = None if bool(terms.keep.all()) else terms.keep.nonzero().squeeze(1)
        with torch.autocast(hidden.device.type, enabled=False):
            head = Head(weight, terms.dtype)
            hidden_grad = torch.zeros_like(hidden) if to_hidden else None
            weight_grad = torch.zeros_like(weight, dtype=terms.dtype) if to_weight else None
            for span in _spans(len(hidden) if index is None else len(index), len(weight), _SIZES.get(_USUAL).tile):
                rows = span if index is None else index[span]
                states = hidden[rows]
                tile = head.logits(states)
                log_p[rows], kl[rows] = _tile_loss(tile, terms, rows, learning=to_hidden or to_weight)
                if hidden_grad is not None:
                    hidden_grad[rows] = head.to_states(tile).to(hidden.dtype)
                if weight_grad is not None:
                    head.add_to_weight(weight_grad, tile, states)
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        # nll_loss sums positions in the order of torch's own cross entropy: ce_weight = 1 is it, bitwise.
        marks = torch.zeros_like(terms.labels).masked_fill_(~terms.keep, -100)
        ce_sum = functional.nll_loss(log_p, marks, ignore_index=-100, reduction="sum")
        kl_sum = kl.sum()
        total = terms.ce_weight * ce_sum
        if terms.kd_weight > 0:
            total = total + terms.kd_weight * terms.temperature**2 * kl_sum
        kl_sum = kl_sum if terms.teacher is not None else kl_sum.new_tensor(math.nan)
        ctx.mark_non_differentiable(ce_sum, kl_sum)
        return total / terms.divisor, ce_sum, kl_sum

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        kept, grad_total = ctx.saved_tensors, grads[0]
        return *(None if grad is None else grad * grad_total.to(grad.dtype) for grad in kept), None, None


def _spans(positions: int, width: int, numbers: int) -> Iterator[slice]:
    """Even spans of at most `numbers` numbers: a short last one would take another matrix kernel."""
    count = max(1, math.ceil(positions * width / numbers))
    edges = [positions * index // count for index in range(count + 1)]
    return (slice(first, last) for first, last in pairwise(edges) if last > first)


def _tile_loss(tile: Tensor, terms: LossTerms, rows: Rows, *, learning: bool) -> tuple[Tensor, Tensor]:
    """Log-probability of each label (rows, 1) and divergence (rows,); if `learning`, logits in `tile` become slopes."""
    teacher = None if terms.teacher is None else terms.teacher.tile(rows)
    labels = terms.labels[rows]
    log_p, kl = tile.new_zeros((len(tile), 1)), tile.new_zeros(len(tile))
    sizes = _SIZES.get(_USUAL)
    numbers = sizes.tile if tile.is_cuda else sizes.block
    for block in _spans(len(tile), tile.shape[1], numbers):
        log_p[block], kl[block] = _block_loss(tile[block], labels[block, None], teacher, block, terms, learning)
    return log_p, kl


def _block_loss(
    logits: Tensor, target: Tensor, teacher: TeacherTile | None, block: slice, terms: LossTerms, learning: bool
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and divergence; if `learning`, `logits` becomes d total / d logits.

    d/dz [ce_weight * CE] = ce_weight * (softmax(z) - onehot); d/dz [kd_weight * T^2 * D] =
    kd_weight * T * dD / d(z / T), the T^2 of the loss times the 1 / T of the chain rule.
    """
    ce_scale, kd_scale = terms.ce_weight / terms.divisor, terms.kd_weight * terms.temperature / terms.divisor
    log_q = functional.log_softmax(logits, dim=-1)
    log_p, apart, slope = log_q.gather(1, target), logits.new_zeros(len(logits)), None
    if learning and terms.ce_weight > 0:
        slope = log_q.exp_().mul_(ce_scale).scatter_add_(1, target, torch.full_like(log_p, -ce_scale))
    if teacher is not None:
        log_q = functional.log_softmax(logits.div_(terms.temperature), dim=-1)
        said = teacher.log_probs(block, terms.temperature, log_q)
        apart, pull = terms.divergence(said, log_q, learning and terms.kd_weight > 0)
        if pull is not None:
            pull.mul_(kd_scale)
            slope = pull if slope is None else slope.add_(pull)
    if learning and slope is not None:
        logits.copy_(slope)
    return log_p, apart
