"""Inputs for the loss certificate, and the same loss written a second time, in float64 and without chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.certificate.reference import log_shares, reference_divergence
from refute.engines.distill.loss.kd_loss import KdLoss
from refute.errors import NonFiniteError

IGNORED = -100
MASKS = ("none", "first", "last", "ragged", "all")


class Loss(Protocol):
    """Anything with the signature of `kd_loss`."""

    def __call__(
        self,
        student_hidden: Tensor,
        lm_head_weight: Tensor,
        teacher_logits: Tensor | None,
        labels: Tensor,
        *,
        ce_weight: float,
        kd_weight: float,
        temperature: float,
        divergence: str,
        beta: float | None,
        denominator: float | None = None,
    ) -> KdLoss:
        """See `kd_loss`."""
        ...


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights and temperature of a loss."""

    ce_weight: float
    kd_weight: float
    temperature: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A loss, and the divergence that it is to train on."""

    loss: Loss
    divergence: str = "forward_kl"
    beta: float | None = None

    def distance(self, student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
        """The divergence at each position by torch's own functions, float64, over the student's vocabulary."""
        theirs = log_shares(teacher_logits[..., : student_logits.shape[-1]], temperature)
        return reference_divergence(theirs, log_shares(student_logits, temperature), self.divergence, self.beta)

    @property
    def padding(self) -> float:
        """The logit of what a teacher rules out: where it is -inf, the reverse KL is infinite by its formula."""
        return -40.0 if self.divergence == "reverse_kl" else -math.inf


@dataclass(frozen=True, slots=True)
class Case:
    """One batch: hidden (N, H), weight (V, H), teacher (N, V), labels (N,)."""

    hidden: Tensor
    weight: Tensor
    teacher: Tensor
    labels: Tensor

    def at(self, device: str, dtype: torch.dtype) -> Case:
        """The same numbers on `device`, the student's rounded to `dtype`."""
        student = (self.hidden.to(device, dtype), self.weight.to(device, dtype))
        return Case(*student, self.teacher.to(device), self.labels.to(device))

    def rows(self, first: int, last: int) -> Case:
        """Positions `first` up to `last`."""
        part = slice(first, last)
        return replace(self, hidden=self.hidden[part], teacher=self.teacher[part], labels=self.labels[part])


def make_case(seed: int, *, positions: int, hidden: int, vocabulary: int, mask: str = "none") -> Case:
    """Random float32 inputs on the CPU; student logits deviate by 2 (1 sigma), teacher logits by 3."""
    source = torch.Generator().manual_seed(seed)
    states = torch.randn(positions, hidden, generator=source)
    weight = torch.randn(vocabulary, hidden, generator=source) * (2.0 / math.sqrt(hidden))
    teacher = torch.randn(positions, vocabulary, generator=source) * 3.0
    labels = torch.randint(0, vocabulary, (positions,), generator=source)
    ignored = torch.zeros(positions, dtype=torch.bool)
    if mask == "ragged":
        ignored = torch.rand(positions, generator=source) < 0.4
        ignored[0], ignored[-1] = True, False
    ignored[:1] |= mask in ("first", "all")
    ignored[-1:] |= mask in ("last", "all")
    ignored |= mask == "all"
    return Case(states, weight, teacher, labels.masked_fill(ignored, IGNORED))


def measure(claim: Claim, case: Case, mix: Mix, denominator: float | None = None) -> tuple[KdLoss, Tensor, Tensor]:
    """The loss of a case and its gradients in hidden and weight."""
    hidden, weight = (tensor.detach().clone().requires_grad_() for tensor in (case.hidden, case.weight))
    result = claim.loss(
        hidden,
        weight,
        case.teacher,
        case.labels,
        ce_weight=mix.ce_weight,
        kd_weight=mix.kd_weight,
        temperature=mix.temperature,
        divergence=claim.divergence,
        beta=claim.beta,
        denominator=denominator,
    )
    to_hidden, to_weight = torch.autograd.grad(result.total, (hidden, weight))
    return result, to_hidden, to_weight


def reference(claim: Claim, case: Case, mix: Mix) -> tuple[Tensor, Tensor, Tensor]:
    """Total and its gradients in float64 by torch's own functions and autograd, all logits at once."""
    hidden, weight = (tensor.detach().double().requires_grad_() for tensor in (case.hidden, case.weight))
    keep = case.labels != IGNORED
    logits = functional.linear(hidden, weight)[keep]
    ce = functional.cross_entropy(logits, case.labels[keep], reduction="sum")
    kl = claim.distance(logits, case.teacher[keep], mix.temperature).sum()
    count = max(int(keep.sum()), 1)
    total = (mix.ce_weight * ce + mix.kd_weight * mix.temperature**2 * kl) / count
    to_hidden, to_weight = torch.autograd.grad(total, (hidden, weight))
    return total.detach(), to_hidden, to_weight


def relative_error(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||; against zero, ||found||."""
    expected = expected.double()
    size = float(expected.norm())
    error = float((found.double().to(expected.device) - expected).norm())
    return error / size if size > 0 else error


def largest(name: str, values: Iterable[float]) -> float:
    """The largest value. Raises NonFiniteError if one is NaN or infinite, which `max` would pass over."""
    found = list(values)
    if not found or not all(math.isfinite(value) for value in found):
        raise NonFiniteError(f"the loss certificate: {name} is not finite: {found}")
    return max(found)
