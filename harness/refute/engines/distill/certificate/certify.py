"""The loss certificate: what was measured of the very loss, device and dtype that a run uses."""

from __future__ import annotations

import torch

from refute.engines.distill.certificate import accuracy, laws
from refute.engines.distill.certificate.cases import Loss
from refute.engines.distill.certificate.identity_teacher import argmax_errors, identity_teacher
from refute.engines.distill.threads import one_thread
from refute.engines.model.device import require_device
from refute.spec.experiments.evidence.distill import LossCertificate, LossFigures

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def certify(loss: Loss, *, device: str = "cpu", dtype: str = "float32") -> LossCertificate:
    """Measure `loss` on `device`, with the student's tensors in `dtype` (float32 or bfloat16).

    Laws of arithmetic that rounding would hide are measured in float32 or float64 whatever `dtype` is.
    Raises NonFiniteError, naming the figure, if one is NaN or infinite; MissingInputsError without the device.
    """
    with one_thread():
        figures = _measure_all(loss, require_device(device), _DTYPES[dtype])
    return LossCertificate(**dict(figures), device=device, dtype=dtype)


def _measure_all(loss: Loss, device: str, kind: torch.dtype) -> LossFigures:
    errors = accuracy.accuracy(loss, device, kind)
    forward, reverse = accuracy.direction(loss, device)
    self_kl, self_gradient = laws.self_distillation(loss, device, kind)
    ce_value, ce_gradient = laws.ce_only_differences(loss, device, kind)
    ratio, rises = laws.ten_steps(loss, device)
    return LossFigures(
        value_abs_error=errors.value,
        gradient_rel_error=errors.gradient,
        near_converged_gradient_rel_error=accuracy.near_converged_gradient_error(loss, device, kind),
        kldiv_abs_error=errors.kldiv,
        finite_difference_ratio=accuracy.finite_difference_deviation(loss, device),
        self_kl=self_kl,
        self_gradient_max=self_gradient,
        min_kl=laws.smallest_kl(loss, device, kind),
        ce_only_value_difference=ce_value,
        ce_only_gradient_difference=ce_gradient,
        kd_only_ce_gradient=laws.label_effect(loss, device, kind),
        direction_abs_error=forward,
        reverse_kl=reverse,
        shift_invariance=laws.shift_effect(loss, device),
        vocabulary_padding_difference=laws.padding_effect(loss, device, kind),
        split_difference=laws.split_effect(loss, device),
        chunk_difference=laws.chunk_effect(loss, device),
        monotone_divergence_violations=laws.divergence_violations(loss, device),
        one_step_distance_drop=laws.one_step_drop(loss, device),
        ten_step_ratio=ratio,
        ten_step_rises=rises,
        fixture_argmax_errors=argmax_errors(identity_teacher(device)),
        device_gradient_error=accuracy.device_gradient_error(loss, device, kind),
    )
