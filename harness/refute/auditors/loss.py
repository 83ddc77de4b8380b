"""The loss of whole texts, on all logits at once, by torch's own functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from refute.auditors.models import Answer
from refute.spec.experiments.training import Training


@dataclass(frozen=True, slots=True)
class Losses:
    """Sums over supervised tokens, in nat: `total` is ce_weight * CE + kd_weight * T^2 * `kl`, the divergence."""

    total: float = 0.0
    ce: float = 0.0
    kl: float = 0.0
    tokens: int = 0

    def __add__(self, other: Losses) -> Losses:
        return Losses(self.total + other.total, self.ce + other.ce, self.kl + other.kl, self.tokens + other.tokens)

    def means(self) -> dict[str, float]:
        """`ce`, `kl` and `total` in nat per supervised token."""
        return {name: getattr(self, name) / max(self.tokens, 1) for name in ("ce", "kl", "total")}


def add_gradient(student: PreTrainedModel, teacher: Answer | None, ids: Tensor, training: Training) -> Losses:
    """The losses of texts of one length (B, L), summed over their B * (L - 1) predictions; adds the gradient to the
    student's.

    The models run in the run's dtype; everything after their logits is float64.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=training.dtype == "bfloat16"):
        logits = student(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1)
    z = logits.double()
    ce = functional.cross_entropy(z, ids[:, 1:].flatten(), reduction="sum")
    kl = torch.zeros((), dtype=torch.float64, device=ids.device)
    if teacher is not None:
        kl = divergence(teacher(ids)[:, :-1].flatten(0, 1).to(z.device), z, training).sum()
    total = training.ce_weight * ce + training.kd_weight * training.temperature**2 * kl
    torch.autograd.backward(total)
    return Losses(total.item(), ce.item(), kl.item(), len(z))


def divergence(teacher: Tensor, student: Tensor, training: Training) -> Tensor:
    """What `training` declares, at each position, nat, float64, over the student's vocabulary V.

    `teacher` (..., >= V) and `student` (..., V) are logits; of the teacher's, those beyond V are cut off.
    """
    theirs = functional.log_softmax(teacher[..., : student.shape[-1]].double() / training.temperature, dim=-1)
    own = functional.log_softmax(student.double() / training.temperature, dim=-1)
    if training.divergence == "forward_kl":
        return _relative_entropy(theirs, own)
    if training.divergence == "reverse_kl":
        return _relative_entropy(own, theirs)
    share = own.new_tensor(training.beta)  # of the teacher in the mixture
    between = torch.stack([theirs + share.log(), own + (1 - share).log()]).logsumexp(dim=0)
    return share * _relative_entropy(theirs, between) + (1 - share) * _relative_entropy(own, between)


def _relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q). What p rules out (-inf, as a teacher may pad its vocabulary) adds nothing."""
    return torch.where(log_p.isfinite(), log_p.exp() * (log_p - log_q), 0.0).sum(dim=-1)
