"""Certificate, part two: laws that hold for any correct KD loss, whatever its inputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.certificate.accuracy import TEMPERATURES, own_teacher
from refute.engines.distill.certificate.cases import (
    IGNORED,
    Case,
    Claim,
    Mix,
    largest,
    make_case,
    measure,
    relative_error,
)
from refute.engines.distill.loss.kernel import Sizes, tile_sizes

_KD_ONLY = Mix(0.0, 1.0, 2.0)
_BOTH = Mix(0.3, 0.7, 2.0)


def self_distillation(claim: Claim, device: str, dtype: torch.dtype) -> tuple[float, float]:
    """Largest |kl| and largest gradient entry when the student is its own teacher and CE has no weight."""
    case = own_teacher(make_case(1, positions=16, hidden=32, vocabulary=4099).at(device, dtype))
    found = [measure(claim, case, Mix(0.0, 1.0, temperature)) for temperature in TEMPERATURES]
    gradients = [gradient.abs().max().item() for each in found for gradient in each[1:]]
    return largest("self KL", [abs(each[0].kl.item()) for each in found]), largest("self gradient", gradients)


def smallest_kl(claim: Claim, device: str, dtype: torch.dtype) -> float:
    """The smallest KL of 60 single positions, from far apart to nearly equal; rounding may make it < 0."""
    found = []
    for seed in range(60):
        case = own_teacher(make_case(seed, positions=1, hidden=16, vocabulary=4099).at(device, dtype))
        noise = torch.randn(case.teacher.shape, generator=torch.Generator().manual_seed(seed)).to(device)
        case = replace(case, teacher=case.teacher + noise * 10.0 ** -(seed % 6))
        found.append(-measure(claim, case, Mix(0.0, 1.0, TEMPERATURES[seed % 3]))[0].kl.item())
    return -largest("smallest KL", found)


def ce_only_differences(claim: Claim, device: str, dtype: torch.dtype) -> tuple[float, float]:
    """|total - cross entropy| and the largest difference of a gradient entry when CE has all the weight."""
    case = make_case(2, positions=24, hidden=32, vocabulary=4099, mask="ragged").at(device, dtype)
    result, *found = measure(claim, case, Mix(1.0, 0.0, 2.0))
    hidden, weight = (tensor.clone().requires_grad_() for tensor in (case.hidden, case.weight))
    plain = functional.cross_entropy(hidden.float() @ weight.float().T, case.labels, ignore_index=IGNORED)
    expected = torch.autograd.grad(plain, (hidden, weight))
    value = abs(result.total.item() - plain.item())
    return largest("CE value", [value]), _largest_difference(tuple(found), expected)


def label_effect(claim: Claim, device: str, dtype: torch.dtype) -> float:
    """Largest change of a gradient entry when every label changes and KD has all the weight."""
    case = make_case(4, positions=24, hidden=32, vocabulary=4099, mask="ragged").at(device, dtype)
    other = replace(case, labels=torch.where(case.labels == IGNORED, IGNORED, (case.labels + 7) % 4099))
    return _largest_difference(measure(claim, case, _KD_ONLY)[1:], measure(claim, other, _KD_ONLY)[1:])


def shift_effect(claim: Claim, device: str) -> float:
    """Largest change of total or hidden gradient when all logits of both sides move by 10 or -10."""
    case = make_case(6, positions=13, hidden=8, vocabulary=151).at(device, torch.float32)
    result, to_hidden, _ = measure(claim, case, _BOTH)
    changes = []
    for shift in (-10.0, 10.0):
        one, constant = torch.ones(13, 1, device=device), torch.full((151, 1), shift, device=device)
        moved = Case(
            torch.cat([case.hidden, one], 1),
            torch.cat([case.weight, constant], 1),
            case.teacher + shift,
            case.labels,
        )
        after, gradient, _ = measure(claim, moved, _BOTH)
        changes += [
            abs(after.total.item() - result.total.item()),
            _largest_difference((gradient[:, :-1],), (to_hidden,)),
        ]
    return largest("shift", changes)


def padding_effect(claim: Claim, device: str, dtype: torch.dtype) -> float:
    """Largest change of total or gradient when the teacher gains 128 entries beyond V, likely or not."""
    case = make_case(7, positions=13, hidden=8, vocabulary=151, mask="ragged").at(device, dtype)
    result, *expected = measure(claim, case, _BOTH)
    changes = []
    for filling in (20.0, 0.0, -torch.inf):
        pads = torch.full((13, 128), filling, device=device)
        after, *found = measure(claim, replace(case, teacher=torch.cat([case.teacher, pads], 1)), _BOTH)
        changes += [
            abs(after.total.item() - result.total.item()),
            _largest_difference(tuple(found), tuple(expected)),
        ]
    return largest("padding", changes)


def split_effect(claim: Claim, device: str) -> float:
    """Largest relative change of a weight gradient accumulated over 8 ragged sequences, 1x8, 2x4, 8x1."""
    length = 6
    case = make_case(9, positions=8 * length, hidden=16, vocabulary=1009, mask="ragged").at(device, torch.float32)
    case.labels[: 2 * length - 1] = IGNORED
    supervised = int((case.labels != IGNORED).sum())
    gradients = []
    for parts in (1, 2, 8):
        rows = len(case.labels) // parts
        pieces = [case.rows(part * rows, (part + 1) * rows) for part in range(parts)]
        gradients.append(torch.stack([measure(claim, piece, _BOTH, supervised)[2] for piece in pieces]).sum(dim=0))
    return largest("split", [relative_error(each, gradients[0]) for each in gradients[1:]])


def chunk_effect(claim: Claim, device: str) -> float:
    """Largest relative change of a gradient when the work is cut into tiles and blocks of one to a few positions."""
    case = make_case(12, positions=13, hidden=16, vocabulary=1009, mask="ragged").at(device, torch.float32)
    _, *expected = measure(claim, case, _BOTH)
    changes = []
    for sizes in (Sizes(tile=1, block=1), Sizes(tile=5 * 1009, block=2 * 1009)):
        with tile_sizes(sizes):
            _, *found = measure(claim, case, _BOTH)
        changes += [relative_error(one, other) for one, other in zip(found, expected, strict=True)]
    return largest("chunks", changes)


def divergence_violations(claim: Claim, device: str) -> int:
    """How often the loss fails to grow on 16 steps away from the teacher, along 4 straight lines of logits.

    KL(p || softmax(t + a d)) is convex in a with its minimum at a = 0, so it grows strictly. The others grow, too: the
    reverse KL by a times the variance of d, Jensen-Shannon by the covariance of d with what grows with d.
    """
    violations = 0
    for seed in range(4):
        case = make_case(seed, positions=5, hidden=3, vocabulary=151).at(device, torch.float32)
        way = torch.randn(case.teacher.shape, generator=torch.Generator().manual_seed(seed)).to(device)
        identity = torch.eye(151, device=device)
        losses = [
            measure(claim, replace(case, hidden=case.teacher + 0.25 * step * way, weight=identity), _KD_ONLY)[0]
            for step in range(17)
        ]
        totals = [each.total.item() for each in losses]
        violations += sum(not after > before for before, after in pairwise(totals))
    return violations


def one_step_drop(claim: Claim, device: str) -> float:
    """The smallest fall, over 4 seeds, of the divergence from the teacher (nat, measured apart) after one step."""
    drops = []
    for seed in range(4):
        case = make_case(seed, positions=16, hidden=32, vocabulary=1009).at(device, torch.float32)
        _, to_hidden, to_weight = measure(claim, case, _KD_ONLY)
        after = replace(case, hidden=case.hidden - 0.5 * to_hidden, weight=case.weight - 0.5 * to_weight)
        drops.append(_distance(claim, case) - _distance(claim, after))
    return -largest("one step", [-drop for drop in drops])


def ten_steps(claim: Claim, device: str) -> tuple[float, int]:
    """Last loss / first loss of ten steps of descent on one batch, and how many of them raised it."""
    case = make_case(11, positions=16, hidden=32, vocabulary=151).at(device, torch.float32)
    case = replace(case, labels=case.teacher.argmax(dim=-1))
    totals = []
    for _ in range(11):
        result, to_hidden, to_weight = measure(claim, case, _BOTH)
        totals.append(result.total.item())
        case = replace(case, hidden=case.hidden - 0.5 * to_hidden, weight=case.weight - 0.5 * to_weight)
    rises = sum(not after < before for before, after in pairwise(totals))
    return largest("ten steps", [totals[-1] / totals[0]]), rises


def _distance(claim: Claim, case: Case) -> float:
    return claim.distance(case.hidden @ case.weight.T, case.teacher, _KD_ONLY.temperature).mean().item()


def _largest_difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    pairs = zip(found, expected, strict=True)
    return largest("difference", [(one.double() - other.double()).abs().max().item() for one, other in pairs])
