"""The KD loss: what it computes, what it differentiates, what it refuses, and that importing it is lazy."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from kd_cases import inputs, top_entries, usual_loss, written_out
from refute.distill import kd_loss
from refute.engines.distill.loss.kernel import Sizes, tile_sizes
from refute.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    positions=st.integers(2, 9),
    width=st.integers(2, 40),
    extra=st.integers(0, 5),
    ce=st.floats(0, 1),
    temperature=st.floats(0.5, 8),
    tile=st.integers(1, 100),
)
def test_any_chunking_equals_autograd_of_the_formula(
    seed: int, positions: int, width: int, extra: int, ce: float, temperature: float, tile: int
) -> None:
    """Value and both gradients equal autograd on the written-out formula, whatever the tile size."""
    states, weight, teacher, labels = inputs(seed, positions, width, 3, extra)
    labels[0] = -100
    with tile_sizes(Sizes(tile, tile)):
        found = kd_loss(states, weight, teacher, labels, ce_weight=ce, kd_weight=1 - ce, temperature=temperature)
    expected = written_out(states, weight, teacher, labels, ce, 1 - ce, temperature)
    assert found.supervised_tokens == positions - 1
    assert found.total.item() == pytest.approx(expected.item(), abs=1e-9)
    pairs = zip(
        torch.autograd.grad(found.total, (states, weight)),
        torch.autograd.grad(expected, (states, weight)),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.5, 8))
def test_kl_is_never_negative_and_zero_for_the_teacher_itself(seed: int, temperature: float) -> None:
    """KL >= 0, and exactly 0 with zero gradient when the student's logits are the teacher's."""
    states, weight, teacher, labels = inputs(seed)
    other = kd_loss(states, weight, teacher, labels, ce_weight=0.0, kd_weight=1.0, temperature=temperature)
    assert other.kl.item() > 0
    own = (states @ weight.T).detach()
    same = kd_loss(states, weight, own, labels, ce_weight=0.0, kd_weight=1.0, temperature=temperature)
    assert same.kl.item() == 0
    assert torch.autograd.grad(same.total, weight)[0].abs().max().item() == 0


@pytest.mark.parametrize("ignored", [(), (0,), (-1,), (0, 3, -1)])
def test_ce_weight_one_is_torch_cross_entropy_bitwise(ignored: tuple[int, ...]) -> None:
    """With all weight on CE, total is torch's cross entropy to the last bit and needs no teacher."""
    states, weight, _, labels = (tensor.detach() for tensor in inputs(1, 70, 501, 16))
    states, weight = states.float(), weight.float()
    for index in ignored:
        labels[index] = -100
    found = kd_loss(states, weight, None, labels, ce_weight=1.0, kd_weight=0.0, temperature=3.0)
    assert found.total.item() == functional.cross_entropy(states @ weight.T, labels).item()
    assert math.isnan(found.kl.item())


def test_kd_weight_one_ignores_what_the_labels_say() -> None:
    """With all weight on KD, changing every label changes no gradient, but CE is still reported."""
    states, weight, teacher, labels = inputs(2)
    results = [
        kd_loss(states, weight, teacher, chosen, ce_weight=0.0, kd_weight=1.0, temperature=2.0)
        for chosen in (labels, (labels + 1) % len(weight))
    ]
    first, second = (torch.autograd.grad(result.total, (states, weight)) for result in results)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert results[0].ce.item() != results[1].ce.item()


@pytest.mark.parametrize("denominator", [None, 10])
def test_nothing_supervised_is_zero_with_zero_gradients(denominator: int | None) -> None:
    """A fully masked batch gives 0 and zero gradients, never NaN and never a missing gradient."""
    states, weight, teacher, labels = inputs(3)
    found = kd_loss(
        states,
        weight,
        teacher,
        labels.fill_(-100),
        ce_weight=0.3,
        kd_weight=0.7,
        temperature=2.0,
        denominator=denominator,
    )
    gradients = torch.autograd.grad(found.total, (states, weight))
    assert (found.total.item(), found.ce.item(), found.kl.item(), found.supervised_tokens) == (0, 0, 0, 0)
    assert all(gradient.count_nonzero() == 0 for gradient in gradients)


def test_a_global_denominator_makes_splits_add_up() -> None:
    """Micro-batches of unequal supervision, each divided by the step's count, sum to the undivided batch."""
    states, weight, teacher, labels = inputs(4, positions=8)
    labels[:3] = -100
    whole = usual_loss(states, weight, teacher, labels).total
    parts = [
        usual_loss(states[part], weight, teacher[part], labels[part], denominator=5).total
        for part in (slice(0, 4), slice(4, 8))
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), abs=1e-12)


def test_padding_beyond_the_vocabulary_is_cut_and_minus_infinity_within_it_is_finite() -> None:
    """Wider teachers are sliced, whatever the padding holds; -inf entries give no NaN in value or gradient."""
    states, weight, teacher, labels = inputs(5)
    expected = usual_loss(states, weight, teacher, labels).total.item()
    for filling in (50.0, -torch.inf):
        wide = torch.cat([teacher, torch.full((6, 3), filling)], 1)
        assert usual_loss(states, weight, wide, labels).total.item() == expected
    teacher[:, -2:] = -torch.inf
    found = usual_loss(states, weight, teacher, labels)
    assert all(bool(grad.isfinite().all()) for grad in torch.autograd.grad(found.total, (states, weight)))
    assert math.isfinite(found.total.item())


def test_nan_in_the_teacher_reaches_the_total() -> None:
    """A NaN teacher logit at a supervised position is not swallowed by the handling of -inf."""
    states, weight, teacher, labels = inputs(6)
    teacher[2, 1] = torch.nan
    assert math.isnan(usual_loss(states, weight, teacher, labels).total.item())


def test_teacher_hidden_states_equal_teacher_logits() -> None:
    """Hidden states with a head that is wider than V give what their logits give."""
    states, weight, _, labels = inputs(7)
    source = torch.Generator().manual_seed(8)
    hidden, head = (torch.randn(n, 5, generator=source, dtype=torch.float64) for n in (6, 14))
    given_hidden = usual_loss(states, weight, None, labels, teacher_hidden=hidden, teacher_head_weight=head)
    expected = usual_loss(states, weight, hidden @ head.T, labels)
    assert given_hidden.total.item() == pytest.approx(expected.total.item(), abs=1e-12)


def test_bfloat16_inputs_are_computed_in_float32_even_under_autocast() -> None:
    """bfloat16 tensors give the float32 loss of the rounded numbers, under autocast as well."""
    states, weight, teacher, labels = (
        tensor.detach().bfloat16() if tensor.is_floating_point() else tensor for tensor in inputs(9)
    )
    expected = usual_loss(states.float(), weight.float(), teacher.float(), labels).total
    with torch.autocast("cpu", torch.bfloat16):
        found = usual_loss(states, weight, teacher, labels).total
    assert found.dtype == torch.float32
    assert found.item() == expected.item()


def test_no_gradient_is_made_when_none_is_wanted() -> None:
    """Under no_grad the values are the same and `total` carries no graph."""
    states, weight, teacher, labels = inputs(10)
    with torch.no_grad():
        found = usual_loss(states, weight, teacher, labels)
    assert not found.total.requires_grad
    assert found.total.item() == usual_loss(states, weight, teacher, labels).total.item()


@pytest.mark.parametrize(
    ("positions", "width", "hidden"), [(1, 2, 1), (7, 13, 5), (31, 97, 3), (64, 257, 17), (3, 1021, 33)]
)
@pytest.mark.parametrize("form", ["logits", "hidden", "topk"])
def test_float32_gradients_at_odd_shapes_follow_float64_autograd(
    positions: int, width: int, hidden: int, form: str
) -> None:
    """float32 kernel, every third label masked, each form of teacher: gradients within 1e-5 of float64's largest."""
    source = torch.Generator().manual_seed(positions)
    states = torch.randn(positions, hidden, generator=source).requires_grad_()
    weight = torch.randn(width, hidden, generator=source).requires_grad_()
    their_states = torch.randn(positions, hidden + 2, generator=source)
    their_head = torch.randn(width + 3, hidden + 2, generator=source)
    teacher = their_states @ their_head.T
    labels = torch.randint(0, width, (positions,), generator=source)
    labels[1::3] = -100
    forms: dict[str, dict[str, object]] = {
        "logits": {},
        "hidden": {"teacher_hidden": their_states, "teacher_head_weight": their_head},
        "topk": {"teacher_topk": top_entries(teacher[:, :width], width, 2.0)},
    }
    found = usual_loss(states, weight, teacher if form == "logits" else None, labels, **forms[form])
    doubles = tuple(tensor.detach().double().requires_grad_() for tensor in (states, weight))
    expected = written_out(doubles[0], doubles[1], teacher.double(), labels, 0.3, 0.7, 2.0)
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    for one, other in zip(
        torch.autograd.grad(found.total, (states, weight)), torch.autograd.grad(expected, doubles), strict=True
    ):
        assert one.dtype == torch.float32
        assert (one.double() - other).abs().max() <= 1e-5 * max(other.abs().max().item(), 1e-3)


def test_a_bfloat16_student_takes_a_float32_teacher() -> None:
    """Mixed forms: bfloat16 states, float32 head and teacher in another precision are the loss of those numbers."""
    states, weight, teacher, labels = inputs(16)
    mixed = states.detach().bfloat16().requires_grad_()
    found = usual_loss(mixed, weight.detach().float().requires_grad_(), teacher.half(), labels)
    expected = usual_loss(mixed.detach().double(), weight.detach().float().double(), teacher.half().double(), labels)
    assert found.total.item() == pytest.approx(expected.total.item(), rel=1e-6)
    assert torch.autograd.grad(found.total, mixed)[0].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ce_weight": 0.3, "kd_weight": 0.6}, "sum to 1, found 0.3 and 0.6"),
        ({"ce_weight": 1.5, "kd_weight": -0.5}, "at least 0"),
        ({"ce_weight": math.nan}, "sum to 1, found nan"),
        ({"temperature": 0.0}, "temperature .* found 0.0"),
        ({"temperature": math.inf}, "temperature .* found inf"),
        ({"denominator": 0}, "denominator .* found 0"),
        ({"teacher_logits": None}, "kd_weight is 0.7, but no teacher was given"),
        ({"teacher_logits": torch.zeros(6, 10)}, "teacher has 10 vocabulary entries, the student 11"),
        ({"teacher_logits": torch.zeros(5, 11)}, r"must be \(6, >=V\), found \(5, 11\)"),
        ({"teacher_hidden": torch.zeros(6, 2)}, "belong together"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"labels must be \(6,\)"),
        ({"labels": torch.zeros(6)}, "int64 or int32, found torch.float32"),
        ({"labels": torch.tensor([0, 1, 11, 0, 0, 0])}, r"labels\[2\] is 11, outside the vocabulary of 11"),
        ({"labels": torch.tensor([0, -1, 0, 0, 0, 0])}, r"labels\[1\] is -1"),
        ({"student_hidden": torch.zeros(6, 5)}, r"found \(6, 5\) and \(11, 4\)"),
        ({"student_hidden": torch.zeros(6, 4, dtype=torch.int64)}, "floating point"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(change: dict[str, object], message: str) -> None:
    """Every wrong argument is a UsageError that says what was found."""
    states, weight, teacher, labels = inputs(11)
    arguments: dict[str, object] = {
        "student_hidden": states,
        "lm_head_weight": weight,
        "teacher_logits": teacher,
        "labels": labels,
        "ce_weight": 0.3,
        "kd_weight": 0.7,
        "temperature": 2.0,
    }
    with pytest.raises(UsageError, match=message):
        kd_loss(**arguments | change)  # type: ignore[arg-type]


@pytest.mark.slow
def test_importing_the_package_does_not_import_torch() -> None:
    """`import refute.distill` stays cheap; only asking for `kd_loss` pays for torch."""
    script = (
        "import sys, refute.distill as d; assert 'torch' not in sys.modules; d.kd_loss; assert 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
