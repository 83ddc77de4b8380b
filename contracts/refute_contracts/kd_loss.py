"""The KD loss against its formulas in numpy float64, and the laws that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from refute.check.contracts.rewrite import Rewrite
from refute.engines.distill.threads import one_thread

if TYPE_CHECKING:
    from refute.check.contracts.tolerance import Tolerance
    from refute.engines.distill.loss.kd_loss import KdLoss

Array = NDArray[np.float64]
IGNORED = -100
_FORWARD = "refute.engines.distill.loss.kernel:_FusedKd.forward"
_BLOCK = "refute.engines.distill.loss.kernel:_block_loss"
_DIVERGENCES = "refute.engines.distill.loss.divergences"
_LOSS = "refute.engines.distill.loss.kd_loss:kd_loss"


_NAMED = (("forward_kl", None), ("reverse_kl", None), *(("jensen_shannon", beta) for beta in (0.1, 0.5, 0.9)))


@dataclass(frozen=True)
class Case:
    """Inputs of one call: student states (N, H) and head (V, H), teacher logits (N, V), labels (N,), weights, T.

    `divergence` by name, `beta` where it has one.
    """

    hidden: Array
    head: Array
    teacher: Array
    labels: NDArray[np.int64]
    ce_weight: float
    temperature: float
    divergence: str = "forward_kl"
    beta: float | None = None

    @property
    def kd_weight(self) -> float:
        return 1.0 - self.ce_weight

    @property
    def supervised(self) -> int:
        return int((self.labels != IGNORED).sum())

    def rows(self, part: slice) -> Case:
        """Some of the positions."""
        return replace(self, hidden=self.hidden[part], teacher=self.teacher[part], labels=self.labels[part])


@st.composite
def cases(draw: st.DrawFn, ce_weights: st.SearchStrategy[float] | None = None) -> Case:
    """Small ones; at least one position is supervised, and the last one may be not."""
    positions, hidden, vocabulary = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(2, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = random.integers(0, vocabulary, positions)
    ignored = draw(st.sets(st.integers(0, positions - 1), max_size=positions - 1))
    labels[list(ignored)] = IGNORED
    divergence, beta = draw(st.sampled_from(_NAMED))
    return Case(
        random.normal(size=(positions, hidden)),
        random.normal(size=(vocabulary, hidden)) * 2,
        random.normal(size=(positions, vocabulary)) * 3,
        labels,
        draw(st.sampled_from([0.0, 0.3, 1.0]) if ce_weights is None else ce_weights),
        draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0])),
        divergence,
        beta,
    )


def engine(
    case: Case, *, denominator: float | None = None, factor: float = 1.0, **teacher: Any
) -> tuple[KdLoss, Array, Array]:
    """The loss of the engine in float64, and the gradients of `factor` times it in states and head."""
    import torch

    from refute.engines.distill.loss.kd_loss import kd_loss

    hidden, head = (torch.from_numpy(array).clone().requires_grad_() for array in (case.hidden, case.head))
    with one_thread():
        loss = kd_loss(
            hidden,
            head,
            None if teacher else torch.from_numpy(case.teacher),
            torch.from_numpy(case.labels),
            ce_weight=case.ce_weight,
            kd_weight=case.kd_weight,
            temperature=case.temperature,
            divergence=case.divergence,
            beta=case.beta,
            denominator=denominator,
            **teacher,
        )
        to_hidden, to_head = torch.autograd.grad(factor * loss.total, (hidden, head))
    return loss, to_hidden.numpy(), to_head.numpy()


def log_softmax(logits: Array) -> Array:
    """Of each row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normed: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


def formula(case: Case) -> tuple[float, float, float, Array]:
    """Total, mean CE, mean divergence, and the slope d total / d logits (N, V), as the contract writes them."""
    keep, temperature = case.labels != IGNORED, case.temperature
    logits = case.hidden @ case.head.T
    onehot = np.eye(logits.shape[1])[np.where(keep, case.labels, 0)]
    log_p, log_q = log_softmax(case.teacher / temperature), log_softmax(logits / temperature)
    ce = -(onehot * log_softmax(logits)).sum(axis=-1)[keep].sum() / case.supervised
    apart, pull = divergence(log_p, log_q, case.divergence, case.beta)
    kl = apart[keep].sum() / case.supervised
    slope = case.ce_weight * (np.exp(log_softmax(logits)) - onehot)
    slope += case.kd_weight * temperature * pull
    total = case.ce_weight * ce + case.kd_weight * temperature**2 * kl
    return total, ce, kl, slope * keep[:, None] / case.supervised


def divergence(log_p: Array, log_q: Array, name: str, beta: float | None) -> tuple[Array, Array]:
    """Of a teacher p and a student q (N, V): a number a position, and its slope in the student's logits (N, V)."""
    p, q = np.exp(log_p), np.exp(log_q)
    if name == "forward_kl":
        return (p * (log_p - log_q)).sum(axis=-1), q - p
    share, other = (0.0, log_p) if beta is None else (beta, np.log(beta * p + (1 - beta) * q))
    apart = (q * (log_q - other)).sum(axis=-1)
    slope = (1 - share) * q * (log_q - other - apart[:, None])
    return share * (p * (log_p - other)).sum(axis=-1) + (1 - share) * apart, slope


@given(case=cases())
def total_is_the_formula(case: Case, within: Tolerance) -> None:
    """Total, CE and divergence of any call."""
    loss, _, _ = engine(case)
    total, ce, kl, _ = formula(case)
    assert loss.supervised_tokens == case.supervised
    assert within.admits([loss.total.item(), loss.ce.item(), loss.kl.item()], [total, ce, kl])


@given(case=cases())
def gradient_is_the_derivative(case: Case, within: Tolerance) -> None:
    """In states and head of any call; positions that are not supervised get none."""
    _, to_hidden, to_head = engine(case)
    slope = formula(case)[3]
    assert within.admits(to_hidden.ravel(), (slope @ case.head).ravel())
    assert within.admits(to_head.ravel(), (slope.T @ case.hidden).ravel())


@given(case=cases(), cut=st.integers(0, 6))
def splits_add_up(case: Case, cut: int, within: Tolerance) -> None:
    """Two micro-batches under the step's own token count give the loss and the gradient of one."""
    one, other = (engine(case.rows(part), denominator=case.supervised) for part in (slice(cut), slice(cut, None)))
    whole = engine(case)
    assert within.admits(one[0].total.item() + other[0].total.item(), whole[0].total.item())
    assert within.admits((one[2] + other[2]).ravel(), whole[2].ravel())
    for part in (one, other):  # what is reported is a mean over the tokens of the call, whatever it is divided by
        if part[0].supervised_tokens == 0:
            assert (part[0].ce.item(), part[0].kl.item(), part[0].total.item()) == (0.0, 0.0, 0.0)
    for name in ("ce", "kl"):
        parts = [getattr(part[0], name).item() * part[0].supervised_tokens for part in (one, other)]
        assert within.admits(sum(parts), getattr(whole[0], name).item() * case.supervised)


@given(case=cases(), factor=st.sampled_from([-1.0, 0.25, 3.0, 1024.0]))
def gradients_scale_with_the_loss(case: Case, factor: float, within: Tolerance) -> None:
    """Whatever multiplies the loss afterwards, as a gradient scaler does, multiplies its gradients."""
    _, to_hidden, to_head = engine(case)
    _, scaled_hidden, scaled_head = engine(case, factor=factor)
    expected = [*(factor * to_hidden).ravel(), *(factor * to_head).ravel()]
    assert within.admits([*scaled_hidden.ravel(), *scaled_head.ravel()], expected)


@given(case=cases(st.just(0.0)))
def own_teacher_teaches_nothing(case: Case, within: Tolerance) -> None:
    """A student that is its own teacher has no divergence, and nowhere to go."""
    case = replace(case, teacher=case.hidden @ case.head.T)
    loss, to_hidden, to_head = engine(case)
    found = [loss.kl.item(), *to_hidden.ravel(), *to_head.ravel()]
    assert within.admits(found, [0.0] * len(found))


@given(case=cases(), shrink=st.integers(0, 12))
def divergence_is_never_negative(case: Case, shrink: int, within: Tolerance) -> None:
    """Gibbs, from far apart to nearly equal, up to rounding; and Jensen-Shannon has an end."""
    own = case.hidden @ case.head.T
    near = own + (case.teacher - own) * 10.0**-shrink
    found = engine(replace(case, teacher=near, ce_weight=0.0))[0].kl.item()
    assert found >= -within.value
    if case.beta is not None:
        assert found <= -case.beta * math.log(case.beta) - (1 - case.beta) * math.log(1 - case.beta) + within.value


@given(case=cases(st.just(0.0)), beta=st.sampled_from([1e-3, 1e-2]))
def small_shares_lead_to_the_two_kls(case: Case, beta: float, within: Tolerance) -> None:
    """KL(p || q) - JS / beta lies between 0 and beta chi2(p || q), and so does KL(q || p) with 1 - beta for beta."""
    keep = case.labels != IGNORED
    log_p, log_q = (
        log_softmax(case.teacher / case.temperature),
        log_softmax(case.hidden @ case.head.T / case.temperature),
    )
    for name, share, left, right in (("forward_kl", beta, log_p, log_q), ("reverse_kl", 1 - beta, log_q, log_p)):
        kl = engine(replace(case, divergence=name, beta=None))[0].kl.item()
        mixed = engine(replace(case, divergence="jensen_shannon", beta=share))[0].kl.item()
        chi_squared = (np.exp(2 * left - right).sum(axis=-1) - 1)[keep].mean()
        assert -within.value / beta <= kl - mixed / beta <= beta * chi_squared + within.value / beta


@given(case=cases(st.just(0.0)))
def heat_leaves_a_variance(case: Case, within: Tolerance) -> None:
    """Of any divergence T^2 D tends to c / 2 Var(t - z) over the vocabulary: c = 1, or beta (1 - beta)."""
    hot = 1e4
    total = engine(replace(case, temperature=hot))[0].total.item()
    gap = (case.teacher - case.hidden @ case.head.T)[case.labels != IGNORED]
    factor = 1.0 if case.beta is None else case.beta * (1 - case.beta)
    assert abs(total - factor * gap.var(axis=-1).mean() / 2) <= within.value * hot**2 + 0.01 * total


@given(case=cases(st.just(0.0)), known=st.integers(1, 9))
def known_entries_bound_from_below(case: Case, known: int, within: Tolerance) -> None:
    """Between k tokens and `any other` it never exceeds the whole, and is it where nothing is left out."""
    import torch

    from refute.engines.distill.loss.teacher_forms import TopK

    known = min(known, case.teacher.shape[1])
    order = np.argsort(-case.teacher, axis=-1)
    top = np.take_along_axis(case.teacher, order[:, :known], axis=-1)
    rest = np.take_along_axis(case.teacher, order[:, known:], axis=-1) / case.temperature
    tail = np.log(np.exp(rest).sum(axis=-1)) if rest.size else np.full(len(top), -np.inf)
    ids = torch.from_numpy(order[:, :known].copy())
    entries = TopK(ids, torch.from_numpy(top), torch.from_numpy(tail), case.temperature)
    partial, whole = engine(case, teacher_topk=entries)[0].kl.item(), formula(case)[2]
    assert -within.value <= partial <= whole + within.value
    if known == case.teacher.shape[1]:
        assert within.admits(partial, whole)


@given(case=cases(), tile=st.integers(1, 40), block=st.integers(1, 20))
def tiles_do_not_show(case: Case, tile: int, block: int, within: Tolerance) -> None:
    """Into whatever pieces the kernel cuts its work, value and gradient are the same."""
    from refute.engines.distill.loss.kernel import Sizes, tile_sizes

    whole = engine(case)
    with tile_sizes(Sizes(tile=tile, block=block)):
        pieces = engine(case)
    assert within.admits(pieces[0].total.item(), whole[0].total.item())
    assert within.admits([*pieces[1].ravel(), *pieces[2].ravel()], [*whole[1].ravel(), *whole[2].ravel()])


without_t_squared = Rewrite(_FORWARD, {"terms.kd_weight * terms.temperature**2 * kl_sum": "terms.kd_weight * kl_sum"})
mirrored_weights = Rewrite(_FORWARD, {"terms.ce_weight * ce_sum": "terms.kd_weight * ce_sum"})
reversed_kl = Rewrite(
    f"{_DIVERGENCES}:named_divergence",
    {'return _forward_kl if name == "forward_kl" else _reverse_kl': "return _reverse_kl"},
)
negative_kl = Rewrite(
    f"{_DIVERGENCES}:_forward_kl",
    {"value = _bounded(log_p.sub_(log_q))": "value = -_bounded(log_p.sub_(log_q))"},
)
sides_of_the_mixture_exchanged = Rewrite(
    f"{_DIVERGENCES}:_jensen_shannon",
    {
        "ratio + math.log(beta), ratio.new_tensor(math.log1p(-beta))": (
            "ratio + math.log1p(-beta), ratio.new_tensor(math.log(beta))"
        )
    },
)
mixture_of_equal_parts = Rewrite(
    f"{_DIVERGENCES}:_jensen_shannon", {"beta * teachers + (1 - beta) * students": "0.5 * (teachers + students)"}
)
slope_of_the_whole_mixture = Rewrite(f"{_DIVERGENCES}:_jensen_shannon", {"slope.mul_(1 - beta)": "slope"})
slope_without_its_mean = Rewrite(
    f"{_DIVERGENCES}:_weighed", {"gap.sub_(value[:, None]).mul_(share)": "gap.mul_(share)"}
)
teacher_at_temperature_one = Rewrite(
    "refute.engines.distill.loss.teacher_forms:LogitTile.log_probs",
    {".to(self.dtype) / temperature": ".to(self.dtype)"},
)
mean_over_all_positions = Rewrite(_LOSS, {"supervised = int(keep.sum())": "supervised = len(keep)"})
local_token_count = Rewrite(_LOSS, {"if denominator is None else denominator": "if True else denominator"})
gradient_without_temperature = Rewrite(
    _BLOCK, {"terms.kd_weight * terms.temperature / terms.divisor": "terms.kd_weight / terms.divisor"}
)
gradient_of_the_last_row = Rewrite(
    _FORWARD,
    {"head.add_to_weight(weight_grad, tile, states)": "head.add_to_weight(weight_grad, tile[-1:], states[-1:])"},
)
forgotten_tail = Rewrite(
    "refute.engines.distill.loss.teacher_forms:TopKTile.log_probs",
    {"torch.logaddexp(top.logsumexp(dim=-1, keepdim=True), tail)": "top.logsumexp(dim=-1, keepdim=True)"},
)
single_rows_left_out = Rewrite("refute.engines.distill.loss.kernel:_spans", {"if last > first": "if last > first + 1"})
last_tile_only = Rewrite(
    "refute.engines.distill.loss.head:Head.add_to_weight",
    {"states.to(self._weight.dtype))": "states.to(self._weight.dtype), beta=0)"},
)
means_by_the_denominator = Rewrite(_LOSS, {"kl / max(supervised, 1)": "kl / divisor"})
scale_ignored = Rewrite(
    "refute.engines.distill.loss.kernel:_FusedKd.backward", {"grad * grad_total.to(grad.dtype)": "grad"}
)
