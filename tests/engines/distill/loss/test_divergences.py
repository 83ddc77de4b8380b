"""Every divergence in every form of the teacher against float64 autograd, and what none of them may hide."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from kd_cases import inputs, top_entries
from refute.distill import KdLoss, kd_loss
from refute.engines.distill.loss.kernel import Sizes, tile_sizes
from refute.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

Named = tuple[str, float | None]
NAMED: list[Named] = [("forward_kl", None), ("reverse_kl", None), ("jensen_shannon", 0.5), ("jensen_shannon", 0.02)]


def _outcomes(logits: Tensor, kept: Tensor | None, temperature: float) -> Tensor:
    """Probabilities of all tokens, or of those that are kept and of any other."""
    shares = torch.softmax(logits / temperature, dim=-1)
    if kept is None or kept.shape[1] == logits.shape[1]:
        return shares
    rest = (shares * torch.ones_like(shares).scatter(1, kept, 0.0)).sum(dim=-1, keepdim=True)
    return torch.cat([shares.gather(1, kept), rest], dim=-1)


def _written_out(p: Tensor, q: Tensor, named: Named) -> Tensor:
    """Summed over all positions, by the formulas of the papers."""

    def kl(left: Tensor, right: Tensor) -> Tensor:
        return (left * (left / right).log()).sum()

    name, beta = named
    if beta is None:
        return kl(p, q) if name == "forward_kl" else kl(q, p)
    mixture = beta * p + (1 - beta) * q
    return beta * kl(p, mixture) + (1 - beta) * kl(q, mixture)


def _loss(
    states: Tensor, weight: Tensor, teacher: Tensor | None, labels: Tensor, named: Named, **more: object
) -> KdLoss:
    fixed = {"ce_weight": 0.3, "kd_weight": 0.7, "temperature": 2.0, "divergence": named[0], "beta": named[1]}
    return kd_loss(states, weight, teacher, labels, **{**fixed, **more})  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    named=st.sampled_from(NAMED),
    known=st.none() | st.integers(1, 11),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    tile=st.integers(1, 60),
)
def test_value_and_gradient_are_those_of_the_formula(
    seed: int, named: Named, known: int | None, temperature: float, tile: int
) -> None:
    """Masked positions, padding beyond the vocabulary, all logits or the best k, in any pieces."""
    states, weight, teacher, labels = inputs(seed, extra=0 if known else 3)
    labels[1] = labels[-1] = -100
    entries = None if known is None else top_entries(teacher, known, temperature)
    with tile_sizes(Sizes(tile, tile)):
        found = _loss(
            states,
            weight,
            teacher if known is None else None,
            labels,
            named,
            temperature=temperature,
            teacher_topk=entries,
        )
    keep = labels != -100
    logits, kept = (states @ weight.T)[keep], None if entries is None else entries.ids[keep]
    theirs, own = (_outcomes(each, kept, temperature) for each in (teacher[keep, : len(weight)], logits))
    apart = _written_out(theirs, own, named)
    ce = functional.cross_entropy(logits, labels[keep], reduction="sum")
    expected = (0.3 * ce + 0.7 * temperature**2 * apart) / keep.sum()
    assert found.kl.item() == pytest.approx(apart.item() / int(keep.sum()), abs=1e-10)
    assert found.total.item() == pytest.approx(expected.item(), abs=1e-9)
    pairs = (torch.autograd.grad(each, (states, weight)) for each in (found.total, expected))
    for one, other in zip(*pairs, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("named", NAMED)
def test_a_confident_teacher_and_a_student_that_is_sure_of_something_else(named: Named) -> None:
    """Probabilities that float32 cannot hold, on both sides: value and gradient are those of float64, and finite."""
    teacher, student = torch.zeros(1, 6), torch.zeros(1, 6)
    teacher[0, 0], student[0, 1] = 150.0, 150.0
    exact, rounded = (
        _loss(
            student.to(kind).requires_grad_(), torch.eye(6, dtype=kind), teacher.to(kind), torch.zeros(1).long(), named
        )
        for kind in (torch.float64, torch.float32)
    )
    assert math.isfinite(rounded.total.item())
    assert rounded.total.item() == pytest.approx(exact.total.item(), rel=1e-5)


def test_what_a_teacher_rules_out_is_infinite_in_reverse_and_nowhere_else() -> None:
    """A logit of -inf inside the vocabulary: no trainer goes on from it unseen, and a mixture needs no help."""
    states, weight, teacher, labels = inputs(5)
    teacher[:, -2:] = -torch.inf
    for named in NAMED:
        found = _loss(states, weight, teacher, labels, named)
        gradients = torch.autograd.grad(found.total, (states, weight))
        whole = all(bool(each.isfinite().all()) for each in (found.total, *gradients))
        assert whole == (named[0] != "reverse_kl")


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_teacher_that_is_no_number_reaches_the_total(named: Named, broken: float) -> None:
    """Nothing is hidden by the handling of -inf."""
    states, weight, teacher, labels = inputs(6)
    teacher[2, 1] = broken
    assert math.isnan(_loss(states, weight, teacher, labels, named).total.item())


@pytest.mark.parametrize("named", NAMED)
def test_a_bfloat16_student_is_computed_in_float32(named: Named) -> None:
    """The gradient comes back in the student's precision, within its rounding of float64's."""
    states, weight, teacher, labels = inputs(7, positions=24, width=64, hidden=16)
    small = [each.detach().bfloat16().requires_grad_() for each in (states, weight)]
    exact = [each.detach().double().requires_grad_() for each in small]
    made, wanted = (
        torch.autograd.grad(_loss(pair[0], pair[1], teacher.to(kind), labels, named).total, pair)
        for pair, kind in ((small, torch.float32), (exact, torch.float64))
    )
    for one, other in zip(made, wanted, strict=True):
        assert one.dtype == torch.bfloat16
        assert float((one.double() - other).norm() / other.norm()) < 5e-3


@pytest.mark.parametrize(
    ("named", "message"),
    [
        *(
            (("jensen_shannon", beta), "needs a `beta` above 0 and below 1")
            for beta in (None, 0.0, 1.0, -0.5, math.nan)
        ),
        (("forward_kl", 0.5), "`beta` is of jensen_shannon alone, found 0.5 with forward_kl"),
        (("reverse_kl", 0.0), "`beta` is of jensen_shannon alone"),
        (("kl", None), "divergence must be one of forward_kl, reverse_kl, jensen_shannon, found 'kl'"),
    ],
)
def test_what_does_not_go_together_is_refused(named: Named, message: str) -> None:
    """In particular 0 and 1, at which the divergence vanishes and other trainers switch to another one."""
    with pytest.raises(UsageError, match=message):
        _loss(*inputs(), named)
