"""The loss certificate: what was measured of the very loss, device and dtype that a run uses."""

from __future__ import annotations

import torch

from refute.engines.distill.certificate import accuracy, laws
from refute.engines.distill.certificate.cases import Claim
from refute.engines.distill.certificate.identity_teacher import argmax_errors, identity_teacher
from refute.engines.distill.threads import one_thread
from refute.engines.model.device import require_device
from refute.spec.experiments.evidence.distill import LossCertificate, LossFigures

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def certify(claim: Claim, *, device: str = "cpu", dtype: str = "float32") -> LossCertificate:
    """Measure the loss of `claim` on `device`, with the student's tensors in `dtype` (float32 or bfloat16).

    Laws of arithmetic that rounding would hide are measured in float32 or float64 whatever `dtype` is.
    Raises NonFiniteError, naming the figure, if one is NaN or infinite; MissingInputsError without the device.
    """
    with one_thread():
        figures = _measure_all(claim, require_device(device), _DTYPES[dtype])
    return LossCertificate(**dict(figures), device=device, dtype=dtype, divergence=claim.divergence, beta=claim.beta)


def _measure_all(claim: Claim, device: str, kind: torch.dtype) -> LossFigures:
    errors = accuracy.accuracy(claim, device, kind)
    forward, reverse = accuracy.direction(claim, device)
    self_kl, self_gradient = laws.self_distillation(claim, device, kind)
    ce_value, ce_gradient = laws.ce_only_differences(claim, device, kind)
    ratio, rises = laws.ten_steps(claim, device)
    return LossFigures(
        value_abs_error=errors.value,
        gradient_rel_error=errors.gradient,
        near_converged_gradient_rel_error=accuracy.near_converged_gradient_error(claim, device, kind),
        kldiv_abs_error=errors.kldiv,
        finite_difference_ratio=accuracy.finite_difference_deviation(claim, device),
        self_kl=self_kl,
        self_gradient_max=self_gradient,
        min_kl=laws.smallest_kl(claim, device, kind),
        ce_only_value_difference=ce_value,
        ce_only_gradient_difference=ce_gradient,
        kd_only_ce_gradient=laws.label_effect(claim, device, kind),
        direction_abs_error=forward,
        reverse_kl=reverse,
        shift_invariance=laws.shift_effect(claim, device),
        vocabulary_padding_difference=laws.padding_effect(claim, device, kind),
        split_difference=laws.split_effect(claim, device),
        chunk_difference=laws.chunk_effect(claim, device),
        monotone_divergence_violations=laws.divergence_violations(claim, device),
        one_step_distance_drop=laws.one_step_drop(claim, device),
        ten_step_ratio=ratio,
        ten_step_rises=rises,
        fixture_argmax_errors=argmax_errors(identity_teacher(device)),
        device_gradient_error=accuracy.device_gradient_error(claim, device, kind),
    )
