"""The certificate: the shipped loss is inside every band, and each known kind of wrong loss falls out of one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from refute.distill import kd_loss
from refute.engines.distill.certificate import accuracy, laws
from refute.engines.distill.certificate.cases import Claim
from refute.engines.distill.certificate.certify import certify
from refute.engines.distill.certificate.identity_teacher import argmax_errors, identity_teacher
from refute.engines.distill.experiments.teacher import check_kd_math
from refute.engines.distill.loss.kd_loss import KdLoss
from refute.errors import NonFiniteError
from refute.spec.experiments.evidence.distill import LossCertificate

F32 = torch.float32
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shipped() -> LossCertificate:
    """What the certificate says of the loss that runs use."""
    return certify(Claim(kd_loss))


@pytest.mark.slow
def test_the_shipped_loss_is_inside_every_band(shipped: LossCertificate) -> None:
    """Each figure holds the bound of the epic or of the design (section 8)."""
    assert shipped.value_abs_error <= 1e-4
    assert shipped.kldiv_abs_error <= 1e-4
    assert shipped.gradient_rel_error <= 1e-5
    assert shipped.near_converged_gradient_rel_error <= 5e-3
    assert shipped.finite_difference_ratio <= 1e-6
    assert max(shipped.self_kl, shipped.self_gradient_max) <= 1e-6
    assert shipped.min_kl >= -1e-6
    assert shipped.ce_only_value_difference == 0
    assert max(shipped.ce_only_gradient_difference, shipped.kd_only_ce_gradient) <= 1e-6
    assert shipped.direction_abs_error <= 1e-6
    assert shipped.reverse_kl == pytest.approx(1.0021042, abs=1e-6)
    assert max(shipped.shift_invariance, shipped.vocabulary_padding_difference, shipped.split_difference) <= 1e-5
    assert shipped.chunk_difference <= 1e-6
    assert (shipped.monotone_divergence_violations, shipped.ten_step_rises, shipped.fixture_argmax_errors) == (0, 0, 0)
    assert shipped.one_step_distance_drop > 0
    assert shipped.ten_step_ratio < 0.9
    assert shipped.device_gradient_error == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("divergence", "beta"), [("reverse_kl", None), ("jensen_shannon", 0.5), ("jensen_shannon", 0.1)]
)
def test_other_divergences_are_inside_the_bars_of_the_specification(divergence: str, beta: float | None) -> None:
    """The same bars, by a reference of their own; and the certificate says which one it is of."""
    found = certify(Claim(kd_loss, divergence, beta))
    assert (found.divergence, found.beta) == (divergence, beta)
    assert (
        max(found.value_abs_error, found.kldiv_abs_error, found.gradient_rel_error, found.direction_abs_error) <= 1e-5
    )
    assert max(found.near_converged_gradient_rel_error, found.shift_invariance, found.split_difference) <= 1e-4
    assert max(found.vocabulary_padding_difference, found.chunk_difference, found.finite_difference_ratio) <= 1e-6
    assert max(abs(found.self_kl), found.self_gradient_max, -found.min_kl, found.kd_only_ce_gradient) <= 1e-6
    assert (found.monotone_divergence_violations, found.ten_step_rises) == (0, 0)
    assert found.one_step_distance_drop > 0
    assert found.ten_step_ratio < 0.9


@pytest.mark.parametrize(
    ("claimed", "used"),
    [
        (("reverse_kl", None), ("forward_kl", None)),
        (("jensen_shannon", 0.5), ("forward_kl", None)),
        (("jensen_shannon", 0.1), ("jensen_shannon", 0.9)),
        (("forward_kl", None), ("reverse_kl", None)),
    ],
)
def test_another_divergence_than_the_claimed_one_leaves_its_band(
    claimed: tuple[str, float | None], used: tuple[str, float | None]
) -> None:
    """Also the same mixture with its sides exchanged."""

    def other(*tensors: Any, **settings: Any) -> KdLoss:
        return kd_loss(*tensors, **(settings | {"divergence": used[0], "beta": used[1]}))

    assert accuracy.direction(Claim(kd_loss, *claimed), "cpu")[0] < 1e-6
    assert accuracy.direction(Claim(other, *claimed), "cpu")[0] > 1e-3


@pytest.mark.slow
def test_bfloat16_stays_within_half_a_percent() -> None:
    """Gradients from bfloat16 inputs, also of a nearly converged student (design.md section 8)."""
    assert accuracy.accuracy(Claim(kd_loss), "cpu", torch.bfloat16).gradient <= 5e-3
    assert accuracy.near_converged_gradient_error(Claim(kd_loss), "cpu", torch.bfloat16) <= 5e-3


@pytest.mark.slow
def test_the_experiment_writes_the_certificate(
    make_job: Any, monkeypatch: pytest.MonkeyPatch, shipped: LossCertificate
) -> None:
    """math.json holds every figure, device and dtype, measured on the loss that the trainer imports."""
    asked: list[tuple[Any, Any]] = []

    def record(claim: Claim, **settings: object) -> LossCertificate:
        asked.append((claim, settings))
        return shipped

    monkeypatch.setattr("refute.engines.distill.experiments.teacher.certify", record)
    job = make_job("math", {"threads": 2, "divergence": "jensen_shannon", "beta": 0.2})
    check_kd_math(job)
    written = json.loads((job.out / "math.json").read_text(encoding="utf-8"))
    right, (wrong, settings) = asked
    assert right == (Claim(kd_loss, "jensen_shannon", 0.2), {"device": "cpu", "dtype": "float32"})
    # By the same means, one that is half as much again: a certificate sees it.
    assert settings == right[1]
    found = certify(wrong)
    assert found.value_abs_error > 0.01
    assert found.gradient_rel_error == pytest.approx(0.5, rel=0.01)
    assert (job.out / "wrong.json").is_file()
    assert written["gradient_rel_error"] == shipped.gradient_rel_error
    assert (written["device"], written["dtype"]) == ("cpu", "float32")


def _dense(
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
    fault: str = "",
) -> KdLoss:
    """A plain loss, forward KL whatever is asked for, with one of the faults that real trainers shipped."""
    keep = labels != -100
    if fault == "last example only":
        keep = torch.zeros_like(keep).index_fill(0, keep.nonzero()[-1:].flatten(), value=True)
    logits = (student_hidden @ lm_head_weight.T)[keep]
    target = labels[keep]
    ce = functional.cross_entropy(logits, target, reduction="sum")
    kl = logits.sum() * 0
    if teacher_logits is not None:
        wide = teacher_logits[keep]
        if fault == "pads kept" and wide.shape[1] > logits.shape[1]:
            logits = functional.pad(logits, (0, wide.shape[1] - logits.shape[1]))
        log_q = (logits / temperature).log_softmax(-1)
        log_p = (wide[:, : logits.shape[1]].to(logits.dtype) / temperature).log_softmax(-1).clamp_min(-1e4)
        if fault == "reverse":
            log_p, log_q = log_q, log_p
        kl = (log_p.exp() * (log_p - log_q)).sum()
        kl = kl / logits.shape[1] if fault == "mean over the vocabulary" else kl
        kl = -(log_p.exp() * log_q).sum() if fault == "no teacher entropy" else kl
    count = max(int(keep.sum()), 1)
    divisor = denominator if denominator is not None and fault != "local mean" else count
    square = 1.0 if fault == "no T^2" else temperature**2
    if fault == "weights mirrored":
        ce_weight, kd_weight = kd_weight, ce_weight
    total = (ce_weight * ce + kd_weight * square * kl) / divisor
    if fault == "T^2 after the gradient":
        plain = (ce_weight * ce + kd_weight * kl) / divisor
        total = plain + (total - plain).detach()
    return KdLoss(total, ce.detach() / count, kl.detach() / count, int(keep.sum()))


def _with(fault: str) -> Any:
    def loss(*tensors: Any, **settings: Any) -> KdLoss:
        return _dense(*tensors, **settings, fault=fault)

    return loss


def _value_error(claim: Claim) -> float:
    """The certificate's value error, on its small shape alone to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accuracy, "SHAPES", accuracy.SHAPES[:1])
        return accuracy.accuracy(claim, "cpu", F32).value


@pytest.mark.parametrize(
    ("fault", "figure", "band"),
    [
        ("no T^2", _value_error, 1e-4),
        ("T^2 after the gradient", lambda claim: accuracy.finite_difference_deviation(claim, "cpu"), 1e-3),
        ("reverse", lambda claim: accuracy.direction(claim, "cpu")[0], 1e-4),
        ("mean over the vocabulary", lambda claim: accuracy.direction(claim, "cpu")[0], 1e-4),
        ("no teacher entropy", lambda claim: laws.self_distillation(claim, "cpu", F32)[0], 1e-4),
        ("weights mirrored", lambda claim: laws.ce_only_differences(claim, "cpu", F32)[0], 1e-4),
        ("weights mirrored", lambda claim: laws.label_effect(claim, "cpu", F32), 1e-6),
        ("local mean", lambda claim: laws.split_effect(claim, "cpu"), 1e-2),
        ("last example only", _value_error, 1e-2),
        ("pads kept", lambda claim: laws.padding_effect(claim, "cpu", F32), 1e-2),
    ],
)
def test_a_wrong_loss_leaves_its_band(fault: str, figure: Any, band: float) -> None:
    """The figure that is about a fault is beyond the band with it, and inside without it."""
    assert figure(Claim(_with(""))) <= band
    assert figure(Claim(_with(fault))) > band


def test_a_nan_figure_is_an_error_and_not_passed_over() -> None:
    """`max` ignores a NaN that does not come first; the certificate names the figure instead."""

    def broken(*tensors: Any, **settings: Any) -> KdLoss:
        result = kd_loss(*tensors, **settings)
        return replace(result, total=result.total * (torch.nan if settings["temperature"] == 4.0 else 1.0))

    with pytest.raises(NonFiniteError, match="finite difference is not finite"):
        accuracy.finite_difference_deviation(Claim(broken), "cpu")


def test_a_teacher_that_does_not_echo_is_counted() -> None:
    """The fixture repeats its input; with one embedding row moved onto another it does not."""
    teacher = identity_teacher("cpu")
    assert argmax_errors(teacher) == 0
    with torch.no_grad():
        teacher.model.get_input_embeddings().get_parameter("weight")[3] = torch.roll(torch.eye(24), 1, 0)[3]
    assert argmax_errors(teacher) > 0
