"""What the KD loss accepts: checks of weights, labels and shapes, and the teacher as tiles of logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from refute.engines.distill.loss.head import Head
from refute.engines.distill.loss.teacher_forms import HiddenTiles, LogitTiles, TeacherTiles, TopK, TopKTiles
from refute.errors import UsageError


def check_weights(ce_weight: float, kd_weight: float, temperature: float, denominator: float | None) -> None:
    """Raise UsageError unless the weights are shares that sum to 1 and the rest is positive and finite."""
    if not (ce_weight >= 0 and kd_weight >= 0 and abs(ce_weight + kd_weight - 1.0) <= 1e-9):
        raise UsageError(
            f"ce_weight and kd_weight must be at least 0 and sum to 1, found {ce_weight} and {kd_weight}",
            hint="a single `alpha` means CE in some papers and KD in others; name both weights",
        )
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(f"temperature must be a finite number above 0, found {temperature}")
    if denominator is not None and not (math.isfinite(denominator) and denominator > 0):
        raise UsageError(
            f"denominator must be a finite number above 0, found {denominator}",
            hint="pass the supervised tokens of the whole optimiser step, or None for those of this call",
        )


def check_student(hidden: Tensor, weight: Tensor) -> None:
    """Raise UsageError unless `hidden` (N, H) and `weight` (V, H) are floating point, fit, share a device."""
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1] or weight.shape[0] == 0:
        raise UsageError(
            f"student_hidden must be (N, H) and lm_head_weight (V, H), "
            f"found {tuple(hidden.shape)} and {tuple(weight.shape)}"
        )
    if not (hidden.is_floating_point() and weight.is_floating_point()):
        raise UsageError(
            f"student_hidden and lm_head_weight must be floating point, found {hidden.dtype}, {weight.dtype}"
        )
    _same_device(hidden, lm_head_weight=weight)


def supervised_mask(hidden: Tensor, weight: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Which of the N positions are supervised. Raises UsageError for labels that are not (N,) ids below V."""
    if labels.shape != hidden.shape[:1]:
        raise UsageError(
            f"labels must be ({hidden.shape[0]},) to match student_hidden, found {tuple(labels.shape)}",
            hint="shift first: position i is labelled with token i + 1, then flatten batch and sequence",
        )
    if labels.dtype not in (torch.int64, torch.int32):
        raise UsageError(f"labels must be int64 or int32, found {labels.dtype}")
    _same_device(hidden, labels=labels)
    keep = labels != ignore_index
    outside = keep & ((labels < 0) | (labels >= weight.shape[0]))
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        raise UsageError(
            f"labels[{first}] is {int(labels[first])}, outside the vocabulary of {weight.shape[0]} "
            f"(and not ignore_index {ignore_index})"
        )
    return keep


def teacher_tiles(
    student_hidden: Tensor,
    width: int,
    dtype: torch.dtype,
    *,
    logits: Tensor | None,
    hidden: Tensor | None,
    head: Tensor | None,
    topk: TopK | None,
) -> TeacherTiles | None:
    """The teacher in the form it was given, or None. Raises UsageError if it cannot serve `width` tokens."""
    if (hidden is None) != (head is None):
        raise UsageError("teacher_hidden and teacher_head_weight belong together; only one was given")
    if sum(form is not None for form in (logits, hidden, topk)) > 1:
        raise UsageError("give the teacher once: as teacher_logits, teacher_hidden with its head, or teacher_topk")
    positions = student_hidden.shape[0]
    if logits is not None:
        if logits.ndim != 2 or logits.shape[0] != positions:
            raise UsageError(f"teacher_logits must be ({positions}, >=V), found {tuple(logits.shape)}")
        _wide_enough(logits.shape[1], width)
        _same_device(student_hidden, teacher_logits=logits)
        return LogitTiles(logits.detach(), width, dtype)
    if topk is not None:
        _check_topk(topk, positions, width)
        _same_device(student_hidden, ids=topk.ids, logits=topk.logits, tail=topk.tail)
        return TopKTiles(topk, dtype)
    if hidden is None or head is None:
        return None
    if hidden.ndim != 2 or head.ndim != 2 or hidden.shape != (positions, head.shape[1]):
        raise UsageError(
            f"teacher_hidden must be ({positions}, Ht) and teacher_head_weight (>=V, Ht), "
            f"found {tuple(hidden.shape)} and {tuple(head.shape)}"
        )
    _wide_enough(head.shape[0], width)
    _same_device(student_hidden, teacher_hidden=hidden, teacher_head_weight=head)
    return HiddenTiles(hidden.detach(), Head(head[:width], dtype), dtype)


def check_temperature(topk: TopK, temperature: float) -> None:
    """Raise UsageError unless the tail of `topk` was summed at this temperature."""
    if topk.temperature != temperature:
        raise UsageError(
            f"the teacher's top-k entries were prepared for temperature {topk.temperature}, the loss has {temperature}",
            hint="prepare them again for this temperature",
        )


def _check_topk(topk: TopK, positions: int, width: int) -> None:
    shape = tuple(topk.ids.shape)
    if len(shape) != 2 or shape[0] != positions or topk.logits.shape != shape or topk.tail.shape != (positions,):
        raise UsageError(
            f"teacher_topk must have ids and logits ({positions}, k) and tail ({positions},), "
            f"found {shape}, {tuple(topk.logits.shape)} and {tuple(topk.tail.shape)}"
        )
    if topk.ids.dtype != torch.int64 or (
        topk.ids.numel() and not 0 <= int(topk.ids.min()) <= int(topk.ids.max()) < width
    ):
        raise UsageError(f"teacher_topk.ids must be int64 in [0, {width}), the student's vocabulary")


def _wide_enough(teacher: int, student: int) -> None:
    if teacher < student:
        raise UsageError(
            f"the teacher has {teacher} vocabulary entries, the student {student}: "
            f"the last {student - teacher} of the student would have no teacher",
            hint="choose a teacher at least as wide; a student is never resized",
        )


def _same_device(hidden: Tensor, **others: Tensor) -> None:
    for name, tensor in others.items():
        if tensor.device != hidden.device:
            raise UsageError(f"{name} is on {tensor.device}, student_hidden on {hidden.device}")
