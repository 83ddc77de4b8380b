"""The divergences of teacher and student at each position, with the slope in the student's logits written out.

p is the teacher and q = softmax(s) the student. What all three come to is a sum over tokens of q or p times a logarithm
of a ratio, and a slope

    forward KL       q - p
    reverse KL       q (g - sum q g)                 g = log(q / p)
    Jensen-Shannon   (1 - beta) q (g - sum q g)      g = log(q / m), m = beta p + (1 - beta) q
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import torch
from torch import Tensor

from refute.errors import UsageError
from refute.spec.experiments.training import check_beta


class Divergence(Protocol):
    """One of them, in nat."""

    def __call__(self, log_p: Tensor, log_q: Tensor, sloped: bool, /) -> tuple[Tensor, Tensor | None]:
        """Of log-probabilities (positions, V), which are used up: values (positions,); if `sloped`, d value / d s."""
        ...


def named_divergence(name: str, beta: float | None) -> Divergence:
    """The divergence of this name. Raises UsageError where there is none, or `beta` does not belong to it."""
    try:
        check_beta(name, beta)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if beta is not None:
        return functools.partial(_jensen_shannon, beta)
    return _forward_kl if name == "forward_kl" else _reverse_kl


def _forward_kl(log_p: Tensor, log_q: Tensor, sloped: bool) -> tuple[Tensor, Tensor | None]:
    share = log_p.exp()
    value = _bounded(log_p.sub_(log_q)).mul_(share).sum(dim=-1)
    return value, log_q.exp_().sub_(share) if sloped else None


def _reverse_kl(log_p: Tensor, log_q: Tensor, sloped: bool) -> tuple[Tensor, Tensor | None]:
    gap = log_p.neg_().add_(log_q)
    return _weighed(gap, log_q.exp_(), sloped)


def _jensen_shannon(beta: float, log_p: Tensor, log_q: Tensor, sloped: bool) -> tuple[Tensor, Tensor | None]:
    share = log_p.exp()
    ratio = _bounded(log_p.sub_(log_q))
    # log(m / q) from log(p / q) alone: where teacher and student agree, so do all digits.
    mixture = torch.logaddexp(ratio + math.log(beta), ratio.new_tensor(math.log1p(-beta)))
    teachers = ratio.sub_(mixture).mul_(share).sum(dim=-1)
    students, slope = _weighed(mixture.neg_(), log_q.exp_(), sloped)
    return beta * teachers + (1 - beta) * students, None if slope is None else slope.mul_(1 - beta)


def _weighed(gap: Tensor, share: Tensor, sloped: bool) -> tuple[Tensor, Tensor | None]:
    """The mean of `gap` by the student's probabilities `share`, and its slope."""
    value = (gap * share).sum(dim=-1)
    return value, gap.sub_(value[:, None]).mul_(share) if sloped else None


def _bounded(gap: Tensor) -> Tensor:
    """Where the teacher is -inf it has no probability: 0 * (a finite number) stands for the limit of 0 * (-inf)."""
    return gap.clamp_(min=torch.finfo(gap.dtype).min)
