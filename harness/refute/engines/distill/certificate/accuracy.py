"""Certificate, part one: is the loss the number it claims to be, and its gradient that number's?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.certificate.cases import (
    IGNORED,
    MASKS,
    Case,
    Claim,
    Mix,
    largest,
    make_case,
    measure,
    reference,
    relative_error,
)

TEMPERATURES = (1.0, 2.0, 4.0)

# Vocabulary, hidden size, positions; the odd ones among them divide into no even chunks.
SHAPES = ((151, 8, 13), (4099, 32, 24))

# The epic's mixture; both terms present, so that a fault in either shows.
_CE, _KD = 0.3, 0.7

# Divergences of p = (0.7, 0.2, 0.1) and q = (0.1, 0.3, 0.6) can be had by hand: KL(p || q) is
# 0.7 ln 7 + 0.2 ln(2/3) + 0.1 ln(1/6) = 1.1018681, and KL(q || p) is 0.1 ln(1/7) + 0.3 ln(3/2) + 0.6 ln 6 = 1.0021042.
_TEACHER_SHARES, _STUDENT_SHARES = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6)
_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Largest errors over T = 1, 2, 4, two shapes and seeds, every mask and a teacher with -inf padding.

    `value`: |total - float64 reference| in nat; `gradient`: ||difference|| / ||reference||;
    `kldiv`: |kl - the divergence by torch.nn.KLDivLoss| in nat per supervised token.
    """

    value: float
    gradient: float
    kldiv: float


def accuracy(claim: Claim, device: str, dtype: torch.dtype) -> Accuracy:
    """Compare value, gradient and reported divergence with float64 autograd on the same (rounded) inputs."""
    values, gradients, divergences = [], [], []
    for case, temperature in product(_cases(claim, device, dtype), TEMPERATURES):
        mix = Mix(_CE, _KD, temperature)
        result, *found = measure(claim, case, mix)
        total, *expected = reference(claim, case, mix)
        values.append(abs(result.total.item() - total.item()))
        gradients += [relative_error(one, other) for one, other in zip(found, expected, strict=True)]
        divergences.append(abs(result.kl.item() - _mean_divergence(claim, case, temperature)))
    return Accuracy(
        largest("value error", values),
        largest("gradient error", gradients),
        largest("KLDivLoss error", divergences),
    )


def near_converged_gradient_error(claim: Claim, device: str, dtype: torch.dtype) -> float:
    """Relative gradient error where the student almost is its teacher, and rounding weighs most."""
    case = own_teacher(make_case(5, positions=16, hidden=32, vocabulary=4099).at(device, dtype))
    noise = torch.randn(case.teacher.shape, generator=torch.Generator().manual_seed(6)).to(device)
    case = Case(case.hidden, case.weight, case.teacher + 0.05 * noise, case.labels)
    errors = []
    for temperature in TEMPERATURES:
        mix = Mix(0.0, 1.0, temperature)
        pairs = zip(measure(claim, case, mix)[1:], reference(claim, case, mix)[1:], strict=True)
        errors += [relative_error(found, expected) for found, expected in pairs]
    return largest("near-converged gradient error", errors)


def finite_difference_deviation(claim: Claim, device: str) -> float:
    """Largest |ratio - 1| of the reported total's slope along the applied gradient to that gradient's size.

    Central difference in float64 at T = 1, 2, 4; a loss that reports one number and differentiates another
    (T^2 in the value only: 4 at T = 2) or applies no gradient at all (1) cannot pass.
    """
    deviations = []
    for temperature in TEMPERATURES:
        mix = Mix(_CE, _KD, temperature)
        case = make_case(3, positions=7, hidden=8, vocabulary=151, mask="ragged").at(device, torch.float64)
        _, to_hidden, to_weight = measure(claim, case, mix)
        size = float((to_hidden.norm() ** 2 + to_weight.norm() ** 2).sqrt())
        if size == 0:
            return 1.0
        ahead, behind = (
            measure(claim, _moved(case, to_hidden, to_weight, sign * _STEP / size), mix)[0].total.item()
            for sign in (1.0, -1.0)
        )
        deviations.append(abs((ahead - behind) / (2 * _STEP) / size - 1.0))
    return largest("finite difference", deviations)


def direction(claim: Claim, device: str) -> tuple[float, float]:
    """On three tokens of known shares: |kl - the divergence by hand|, and `kl` with the sides exchanged."""
    teacher, student = (torch.tensor([shares]).log().to(device) for shares in (_TEACHER_SHARES, _STUDENT_SHARES))
    labels = torch.zeros(1, dtype=torch.int64, device=device)
    forward, backward = (
        measure(claim, Case(one, torch.eye(3, device=device), other, labels), Mix(0.0, 1.0, 1.0))[0].kl.item()
        for one, other in ((student, teacher), (teacher, student))
    )
    return largest("direction", [abs(forward - _by_hand(claim))]), largest("exchanged sides", [backward])


def _by_hand(claim: Claim) -> float:
    p, q, beta = _TEACHER_SHARES, _STUDENT_SHARES, claim.beta
    if beta is not None:
        mixture = [beta * theirs + (1 - beta) * own for theirs, own in zip(p, q, strict=True)]
        return beta * _kl(p, mixture) + (1 - beta) * _kl(q, mixture)
    return _kl(p, q) if claim.divergence == "forward_kl" else _kl(q, p)


def _kl(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(one * math.log(one / other) for one, other in zip(left, right, strict=True))


def device_gradient_error(claim: Claim, device: str, dtype: torch.dtype) -> float:
    """Relative difference of the gradients on `device` from those on the CPU; 0 on the CPU itself."""
    case = make_case(8, positions=24, hidden=32, vocabulary=4099, mask="ragged")
    mix = Mix(_CE, _KD, 2.0)
    here, there = (measure(claim, case.at(place, dtype), mix)[1:] for place in ("cpu", device))
    errors = [relative_error(found, expected) for found, expected in zip(there, here, strict=True)]
    return largest("device gradient error", errors)


def _cases(claim: Claim, device: str, dtype: torch.dtype) -> Iterator[Case]:
    for seed, (vocabulary, hidden, positions) in enumerate(SHAPES):
        for index, mask in enumerate((*MASKS, "ragged")):
            case = make_case(
                10 * seed + index, positions=positions, hidden=hidden, vocabulary=vocabulary, mask=mask
            ).at(device, dtype)
            if index == len(MASKS):
                case.teacher[:, -5:] = claim.padding
            yield case


def _mean_divergence(claim: Claim, case: Case, temperature: float) -> float:
    keep = case.labels != IGNORED
    logits = functional.linear(case.hidden.double(), case.weight.double())[keep]
    return float(claim.distance(logits, case.teacher[keep], temperature).sum()) / max(int(keep.sum()), 1)


def own_teacher(case: Case) -> Case:
    """The case with the student as its own teacher."""
    return Case(case.hidden, case.weight, case.hidden.float() @ case.weight.float().T, case.labels)


def _moved(case: Case, to_hidden: Tensor, to_weight: Tensor, distance: float) -> Case:
    hidden, weight = case.hidden + distance * to_hidden, case.weight + distance * to_weight
    return Case(hidden, weight, case.teacher, case.labels)
