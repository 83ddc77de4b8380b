"""Sabotages of the KD loss, as its certificate meets it: dense losses in which one thing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.loss.kd_loss import KdLoss
from sabotage.opened import opened

experiments = opened("engines.distill.experiments.teacher")


Parts = Callable[[Tensor, Tensor, float], Tensor]


def _kl(z: Tensor, t: Tensor, heat: float) -> Tensor:
    """KL(teacher || student) a position."""
    log_p, log_q = functional.log_softmax(t / heat, -1), functional.log_softmax(z / heat, -1)
    return torch.where(log_p.isfinite(), log_p.exp() * (log_p - log_q), 0.0).sum(-1)


def _dense(
    *,
    kl: Parts = _kl,
    squared: bool = True,
    mirrored: bool = False,
    ignores: bool = True,
    own_denominator: bool = False,
    pad_student: bool = False,
    rounded: bool = False,
    added_ce: float = 0.0,
    mask: bool = False,
) -> Callable[..., KdLoss]:
    """A KD loss written down in one piece, right unless asked to be wrong."""

    def loss(hidden: Tensor, weight: Tensor, teacher: Tensor | None, labels: Tensor, **settings: Any) -> KdLoss:
        ce_weight, kd_weight = settings["ce_weight"], settings["kd_weight"]
        heat = settings["temperature"]
        if mirrored:
            ce_weight, kd_weight = kd_weight, ce_weight
        kept = labels != -100
        used = kept if ignores else torch.ones_like(kept)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        if rounded:
            logits = (hidden[used].bfloat16() @ weight.bfloat16().T).float()
        else:
            logits = hidden[used].to(wide) @ weight.to(wide).T
        known = labels[used].clamp(min=0)
        count = max(int(kept.sum()), 1)
        ce = functional.cross_entropy(logits, known, reduction="sum") + 0.0 * hidden.sum()
        divergence = torch.zeros(())
        if teacher is not None:
            theirs = teacher[used].to(logits.dtype)
            extra = theirs.shape[-1] - logits.shape[-1]
            if pad_student:
                ours = functional.pad(logits, (0, extra))
            else:
                ours, theirs = logits, theirs[:, : logits.shape[-1]]
            divergence = kl(ours, theirs, heat).sum() + 0.0 * hidden.sum()
        divisor = settings.get("denominator") if not own_denominator else None
        scale = heat**2 if squared else 1.0
        total = ((ce_weight + added_ce) * ce + kd_weight * scale * divergence) / (count if divisor is None else divisor)
        return KdLoss(total, ce.detach() / count, divergence.detach() / count, int(kept.sum()))

    return loss


def _use(loss: Callable[..., KdLoss]) -> None:
    experiments.kd_loss = loss


def right() -> None:
    """No sabotage: the dense loss in which nothing is wrong, to show that it is not refuted for being another one."""
    _use(_dense())


def temperature_squared_missing() -> None:
    """Gradients shrink with the square of the temperature."""
    _use(_dense(squared=False))


def temperature_squared_in_the_value_only() -> None:
    """The printed loss has it, the gradient does not."""
    plain, scaled = _dense(squared=False), _dense()

    def loss(*tensors: Any, **settings: Any) -> KdLoss:
        found, shown = plain(*tensors, **settings), scaled(*tensors, **settings)
        total = found.total + (shown.total - found.total).detach()
        return KdLoss(total, shown.ce, shown.kl, shown.supervised_tokens)

    _use(loss)


def temperature_ignored() -> None:
    """It is accepted, and divides nothing."""
    _use(_dense(kl=lambda z, t, _heat: _kl(z, t, 1.0)))


def divergence_reversed() -> None:
    """KL(student || teacher) under the other's name."""

    def reverse(z: Tensor, t: Tensor, heat: float) -> Tensor:
        log_p, log_q = functional.log_softmax(t / heat, -1), functional.log_softmax(z / heat, -1)
        known = log_p.isfinite()
        apart = log_q - torch.where(known, log_p, 0.0)
        return (known * log_q.exp() * apart).sum(-1)

    _use(_dense(kl=reverse))


def mean_over_the_vocabulary() -> None:
    """Divided by its width as well."""
    _use(_dense(kl=lambda z, t, heat: _kl(z, t, heat) / z.shape[-1]))


def entropy_left_in() -> None:
    """Cross-entropy with the teacher's distribution, called a KL."""

    def soft(z: Tensor, t: Tensor, heat: float) -> Tensor:
        return -(functional.softmax(t / heat, -1) * functional.log_softmax(z / heat, -1)).sum(-1)

    _use(_dense(kl=soft))


def bfloat16_inside() -> None:
    """Logits are rounded to eight bits before the softmax."""
    _use(_dense(rounded=True))


def student_padded_with_zeros() -> None:
    """The student gets logits of zero for the teacher's padding rows."""
    _use(_dense(pad_student=True))


def nan_where_the_teacher_pads_with_minus_infinity() -> None:
    """0 * inf."""

    def careless(z: Tensor, t: Tensor, heat: float) -> Tensor:
        log_p, log_q = functional.log_softmax(t / heat, -1), functional.log_softmax(z / heat, -1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)

    _use(_dense(kl=careless, pad_student=True))


def prompts_and_padding_counted() -> None:
    """ignore_index is taken and never applied."""
    _use(_dense(ignores=False))


def micro_batches_divided_by_their_own() -> None:
    """The denominator of the step is not looked at."""
    _use(_dense(own_denominator=True))


def weights_mirrored() -> None:
    """ce_weight weighs KL."""
    _use(_dense(mirrored=True))


def cross_entropy_added() -> None:
    """Another half of the cross-entropy comes in with a faster kernel."""
    _use(_dense(added_ce=0.5))
