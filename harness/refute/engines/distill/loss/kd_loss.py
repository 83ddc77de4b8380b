"""The KD loss: ce_weight * CE + kd_weight * T^2 * D(teacher, student), from hidden states, in chunks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from refute.engines.distill.loss.divergences import named_divergence
from refute.engines.distill.loss.inputs import (
    check_student,
    check_temperature,
    check_weights,
    supervised_mask,
    teacher_tiles,
)
from refute.engines.distill.loss.kernel import LossTerms, fused_kd
from refute.engines.distill.loss.teacher_forms import TopK
from refute.errors import UsageError


@dataclass(frozen=True, slots=True)
class KdLoss:
    """`total` is differentiable; `ce` and `kl` are detached means, nat per supervised token, before weights.

    `kl` is the divergence that was asked for, KL(teacher || student) unless another one was, at the given temperature,
    before T^2, and NaN when no teacher was given.
    """

    total: Tensor
    ce: Tensor
    kl: Tensor
    supervised_tokens: int


def kd_loss(
    student_hidden: Tensor,
    lm_head_weight: Tensor,
    teacher_logits: Tensor | None,
    labels: Tensor,
    *,
    ce_weight: float,
    kd_weight: float,
    temperature: float,
    divergence: str = "forward_kl",
    beta: float | None = None,
    denominator: float | None = None,
    ignore_index: int = -100,
    teacher_hidden: Tensor | None = None,
    teacher_head_weight: Tensor | None = None,
    teacher_topk: TopK | None = None,
) -> KdLoss:
    """Loss of N positions: (ce_weight * sum CE + kd_weight * T^2 * sum D(teacher, student)) / denominator.

    `divergence` is D: `forward_kl`, KL(teacher || student); `reverse_kl`, KL(student || teacher); or `jensen_shannon`,
    generalised by a `beta` above 0 and below 1 (Agarwal et al. 2024, arXiv:2306.13649): beta KL(teacher || m) +
    (1 - beta) KL(student || m), m = beta teacher + (1 - beta) student. Where the teacher rules out what the student
    does not (a logit of -inf), the reverse KL is infinite, and the others are not.

    `student_hidden` (N, H), `lm_head_weight` (V, H), `teacher_logits` (N, >=V), `labels` (N,), shifted;
    those labelled `ignore_index` count in neither sum. The teacher is cut to its first V entries and
    renormalised; it may come as `teacher_hidden` (N, Ht) and `teacher_head_weight` (>=V, Ht) instead, or as
    `teacher_topk` (then D is between k + 1 outcomes, the last being any other token), and may be None where
    `kd_weight` is 0. `denominator` defaults to the supervised tokens of this call; an optimiser
    step that accumulates passes its own global count, so that every split gives the same gradient. Nothing
    supervised gives 0 with zero gradients. Computed in float32 (float64 for float64 inputs), whatever the
    dtype of the inputs and under autocast; NaN and inf propagate to `total`. Gradients reach the first two
    inputs only. T^2 keeps the gradient's scale (Hinton et al. 2015, arXiv:1503.02531, section 2), whichever D: for
    large T they differ by constant factors alone.
    Raises UsageError for shapes, types, labels, weights or vocabularies that do not fit.
    """
    check_weights(ce_weight, kd_weight, temperature, denominator)
    apart = named_divergence(divergence, beta)
    check_student(student_hidden, lm_head_weight)
    keep = supervised_mask(student_hidden, lm_head_weight, labels, ignore_index)
    dtype = torch.promote_types(torch.promote_types(student_hidden.dtype, lm_head_weight.dtype), torch.float32)
    width = lm_head_weight.shape[0]
    teacher = teacher_tiles(
        student_hidden,
        width,
        dtype,
        logits=teacher_logits,
        hidden=teacher_hidden,
        head=teacher_head_weight,
        topk=teacher_topk,
    )
    if teacher_topk is not None:
        check_temperature(teacher_topk, temperature)
    if teacher is None and kd_weight > 0:
        raise UsageError(
            f"kd_weight is {kd_weight}, but no teacher was given",
            hint="pass teacher_logits, or teacher_hidden with teacher_head_weight",
        )
    supervised = int(keep.sum())
    divisor = float(max(supervised, 1) if denominator is None else denominator)
    terms = LossTerms(teacher, apart, labels.long(), keep, ce_weight, kd_weight, temperature, divisor, dtype)
    total, ce, kl = fused_kd(student_hidden, lm_head_weight, terms)
    return KdLoss(total, ce / max(supervised, 1), kl / max(supervised, 1), supervised)
