"""Do the logits that supervise the student come from the teacher's weights?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable


def _logits() -> NDArray[np.float32]:
    return np.random.default_rng(17).normal(0.0, 3.0, (2, 4, 32)).astype(np.float32)


def _lay_out(bench: Bench, provider: NDArray[np.float32], *, max_abs: float, repeat: float = 0.0) -> None:
    bench.put_arrays("teacher_probe", "probe.safetensors", {"provider": provider, "reference": _logits()})
    facts = {"max_abs": max_abs, "second_forward_max_abs": repeat, "positions": 8}
    bench.put("teacher_probe", "probe.json", facts)


def the_same_logits(bench: Bench) -> None:
    """Provider and reference agree up to float32 rounding."""
    _lay_out(bench, _logits() + np.float32(1e-5), max_abs=1e-5)


def synthetic_logits(bench: Bench) -> None:
    """Noise in place of the teacher, with a summary that claims agreement: the arrays must be looked at."""
    noise = np.random.default_rng(18).normal(0.0, 3.0, (2, 4, 32)).astype(np.float32)
    _lay_out(bench, noise, max_abs=0.0)


def logits_of_another_position(bench: Bench) -> None:
    """Right numbers, shifted by one position."""
    _lay_out(bench, np.roll(_logits(), 1, axis=1), max_abs=0.0)


def difference_outside_the_sample(bench: Bench) -> None:
    """The stored positions agree; the maximum over all positions does not."""
    _lay_out(bench, _logits(), max_abs=0.5)


def logits_that_change(bench: Bench) -> None:
    """A provider that answers differently when asked again."""
    _lay_out(bench, _logits(), max_abs=0.0, repeat=0.01)


def one_position_for_many(bench: Bench) -> None:
    """A single position's logits, which would be compared with every one."""
    _lay_out(bench, _logits()[:, :1].copy(), max_abs=0.0)


@falsifier(
    "teacher-parity",
    needs=("teacher_probe",),
    measures={"max_abs_difference": "logit", "repeat_difference": "logit"},
    controls=(
        known_good(the_same_logits),
        known_bad(synthetic_logits),
        known_bad(logits_of_another_position),
        known_bad(difference_outside_the_sample),
        known_bad(logits_that_change),
        known_unusable(one_position_for_many, raises=ValueError),
    ),
)
def teacher_parity(context: Context) -> Iterator[Measurement]:
    """Refuted when the provider's logits differ from an independent forward, or from themselves a second time."""
    evidence = context.evidence("teacher_probe")
    arrays, facts = evidence.arrays("probe.safetensors"), evidence.json("probe.json")
    provider, reference = arrays["provider"].astype(np.float64), arrays["reference"].astype(np.float64)
    if provider.shape != reference.shape:  # numpy would compare one position with many
        raise ValueError(f"provider has shape {provider.shape}, reference {reference.shape}")
    stored = float(np.abs(provider - reference).max())
    worst = max(stored, float(facts["max_abs"]))
    yield Measurement("max_abs_difference", worst, "logit", n=int(facts["positions"]))
    yield Measurement("repeat_difference", facts["second_forward_max_abs"], "logit", n=int(facts["positions"]))
