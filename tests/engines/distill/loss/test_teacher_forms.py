"""The KD loss of a teacher that kept k entries a position: the divergence of k + 1 outcomes, and what does not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from kd_cases import inputs, top_entries, usual_loss
from refute.distill import kd_loss
from refute.engines.distill.loss.kernel import Sizes, tile_sizes
from refute.engines.distill.loss.teacher_forms import TopK
from refute.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


def _lumped(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Log-probabilities of the ids and, last, of all others together, written out for autograd."""
    shares = torch.softmax(logits / temperature, dim=-1)
    kept = shares.gather(1, ids)
    parts = [kept]
    if ids.shape[1] < logits.shape[1]:
        parts.append((shares * torch.ones_like(shares).scatter(1, ids, 0.0)).sum(dim=-1, keepdim=True))
    return torch.cat(parts, dim=-1).log()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    positions=st.integers(2, 9),
    width=st.integers(3, 41),
    share=st.floats(0, 1),
    ce=st.floats(0, 1),
    temperature=st.floats(0.5, 4),
    tile=st.integers(1, 100),
)
def test_top_k_entries_equal_autograd_of_the_divergence_of_k_plus_one_outcomes(
    seed: int, positions: int, width: int, share: float, ce: float, temperature: float, tile: int
) -> None:
    """For any k and chunking: value and gradients of KL over k tokens and `any other`; at k = V the full KL."""
    k = max(1, round(share * width))
    states, weight, teacher, labels = inputs(seed, positions, width, 3)
    labels[0] = -100
    entries = top_entries(teacher, k, temperature)
    # Any constant a row may be taken off, as the cache does.
    shift = teacher.max(dim=-1).values
    moved = TopK(entries.ids, entries.logits - shift[:, None], entries.tail - shift / temperature, temperature)
    keep = labels != -100
    logits = (states @ weight.T)[keep]
    theirs = _lumped(teacher[keep], entries.ids[keep], temperature)
    mine = _lumped(logits, entries.ids[keep], temperature)
    kl = (theirs.exp() * (theirs - mine)).sum()
    cross = functional.cross_entropy(logits, labels[keep], reduction="sum")
    expected = (ce * cross + (1 - ce) * temperature**2 * kl) / keep.sum()
    for given_entries in (entries, moved):
        with tile_sizes(Sizes(tile, tile)):
            found = kd_loss(
                states,
                weight,
                None,
                labels,
                ce_weight=ce,
                kd_weight=1 - ce,
                temperature=temperature,
                teacher_topk=given_entries,
            )
        assert found.kl.item() * (positions - 1) == pytest.approx(kl.item(), abs=1e-8)
        assert found.total.item() == pytest.approx(expected.item(), abs=1e-8)
        for one, other in zip(
            torch.autograd.grad(found.total, (states, weight)),
            torch.autograd.grad(expected, (states, weight), retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)
    full = kd_loss(states, weight, teacher, labels, ce_weight=ce, kd_weight=1 - ce, temperature=temperature)
    assert kl.item() <= full.kl.item() * (positions - 1) + 1e-10
    if k == width:
        assert kl.item() == pytest.approx(full.kl.item() * (positions - 1), abs=1e-9)


def test_more_entries_never_lower_the_divergence() -> None:
    """Merging outcomes loses information: the KL grows with k, up to the full one."""
    states, weight, teacher, labels = inputs(12, width=23)
    kls = [
        kd_loss(
            states,
            weight,
            None,
            labels,
            ce_weight=0.0,
            kd_weight=1.0,
            temperature=2.0,
            teacher_topk=top_entries(teacher, k, 2.0),
        ).kl.item()
        for k in range(1, 24)
    ]
    assert kls == sorted(kls)
    full = kd_loss(states, weight, teacher, labels, ce_weight=0.0, kd_weight=1.0, temperature=2.0).kl.item()
    assert kls[0] < 0.9 * full
    assert kls[-1] == pytest.approx(full, abs=1e-12)


def test_top_k_of_a_teacher_with_impossible_tokens_is_finite() -> None:
    """Entries of -inf, kept or in the tail, pull no gradient to NaN, in float32 as the cache gives it."""
    states, weight, teacher, labels = inputs(13)
    teacher[:, 3:] = -torch.inf
    for k in (2, 3, 6, 11):
        entries = top_entries(teacher.float(), k, 2.0)
        found = kd_loss(
            states, weight, None, labels, ce_weight=0.0, kd_weight=1.0, temperature=2.0, teacher_topk=entries
        )
        expected = _top_of_finite(teacher[:, :3], k, states, weight)
        assert found.kl.item() == pytest.approx(expected, abs=1e-5)
        assert all(bool(grad.isfinite().all()) for grad in torch.autograd.grad(found.total, (states, weight)))


def _top_of_finite(teacher: Tensor, k: int, states: Tensor, weight: Tensor) -> float:
    """Mean KL where only the first columns are possible; with k of them or more it is the full KL."""
    mine = torch.log_softmax((states @ weight.T).detach() / 2.0, dim=-1)
    theirs = torch.log_softmax(teacher / 2.0, dim=-1)
    if k >= teacher.shape[1]:
        return (theirs.exp() * (theirs - mine[:, : teacher.shape[1]])).sum(dim=-1).mean().item()
    ids = teacher.topk(k, dim=-1).indices
    kept = (theirs.exp() * (theirs - mine[:, : teacher.shape[1]])).gather(1, ids).sum(dim=-1)
    tail = 1 - theirs.gather(1, ids).exp().sum(dim=-1)
    students = 1 - mine.gather(1, ids).exp().sum(dim=-1)
    return (kept + tail * (tail / students).log()).mean().item()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (TopK(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(6), 2.0), r"ids must be int64 in \[0, 11\)"),
        (TopK(torch.full((6, 1), 11), torch.zeros(6, 1), torch.zeros(6), 2.0), r"ids must be int64 in \[0, 11\)"),
        (TopK(torch.full((6, 1), -1), torch.zeros(6, 1), torch.zeros(6), 2.0), r"ids must be int64 in \[0, 11\)"),
        (TopK(torch.zeros(5, 2).long(), torch.zeros(5, 2), torch.zeros(5), 2.0), r"ids and logits \(6, k\).*\(5, 2\)"),
        (TopK(torch.zeros(6, 2).long(), torch.zeros(6, 3), torch.zeros(6), 2.0), r"found \(6, 2\), \(6, 3\)"),
        (TopK(torch.zeros(6, 2).long(), torch.zeros(6, 2), torch.zeros(6, 1), 2.0), r"and \(6, 1\)"),
        (
            TopK(torch.zeros(6, 2).long(), torch.zeros(6, 2), torch.zeros(6), 1.0),
            r"temperature 1\.0, the loss has 2\.0",
        ),
    ],
)
def test_top_k_entries_that_do_not_fit_are_refused(entries: TopK, message: str) -> None:
    """Wrong shapes, ids outside the vocabulary, or a tail that was summed at another temperature."""
    states, weight, _, labels = inputs(14)
    with pytest.raises(UsageError, match=message):
        usual_loss(states, weight, None, labels, teacher_topk=entries)


def test_a_teacher_in_two_forms_at_once_is_refused() -> None:
    """Which of them would teach?"""
    states, weight, teacher, labels = inputs(15)
    with pytest.raises(UsageError, match="give the teacher once"):
        usual_loss(states, weight, teacher, labels, teacher_topk=top_entries(teacher, 3, 2.0))
