"""Do the logits that supervise the student come from the teacher's weights?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable


def _logits() -> NDArray[np.float64]:
    return np.random.default_rng(17).normal(0.0, 3.0, (2, 4, 32))


def _lay_out(
    bench: Bench, wrong: Mapping[str, float], *, towards: NDArray[np.float64] | None = None, stored: bool = True
) -> None:
    """Logits that differ as much as the bars allow or, where in `wrong`, forbid.

    `towards`: in which direction the stored ones do, by default all alike; not `stored`, only the summary knows of it.
    """
    found = bench.values({"max_abs_difference": 1e-5, "repeat_difference": 0.0}, wrong, low=0.0, clear=True)
    away = np.ones_like(_logits()) if towards is None else towards / np.abs(towards).max()
    provider = _logits() + (found["max_abs_difference"] if stored else 0.0) * away
    arrays = {"provider": provider, "reference": _logits(), "input_ids": np.zeros((2, 4), np.int32)}
    bench.put_arrays("teacher_probe", "probe.safetensors", arrays)
    summary = 0.0 if stored else found["max_abs_difference"]
    facts = {"max_abs": summary, "second_forward_max_abs": found["repeat_difference"], "positions": 8}
    bench.put("teacher_probe", "probe.json", facts)


def the_same_logits(bench: Bench) -> None:
    """Provider and reference agree up to rounding."""
    _lay_out(bench, {})


def synthetic_logits(bench: Bench) -> None:
    """Noise in place of the teacher, with a summary that claims agreement: the arrays must be looked at."""
    noise = np.random.default_rng(18).normal(0.0, 3.0, (2, 4, 32))
    _lay_out(bench, {"max_abs_difference": 10.0}, towards=noise - _logits())


def logits_of_another_position(bench: Bench) -> None:
    """Right numbers, shifted by one position."""
    _lay_out(bench, {"max_abs_difference": 10.0}, towards=np.roll(_logits(), 1, axis=1) - _logits())


def difference_outside_the_sample(bench: Bench) -> None:
    """The stored positions agree; the maximum over all positions does not."""
    _lay_out(bench, {"max_abs_difference": 0.5}, stored=False)


def logits_that_change(bench: Bench) -> None:
    """A provider that answers differently when asked again."""
    _lay_out(bench, {"repeat_difference": 0.01})


def a_rolled_matrix_of_this_run(bench: Bench) -> None:
    """One matrix of this very teacher rolled by a row, as this run's probe sees it."""
    real = bench.real["teacher_probe"]
    off = real.json("rolled.json")["max_abs"]
    bench.bar("max_abs_difference").failing(off, low=off, high=off)
    bench.put_arrays("teacher_probe", "probe.safetensors", real.arrays("rolled.safetensors"))
    bench.put("teacher_probe", "probe.json", real.json("rolled.json"))


def one_position_for_many(bench: Bench) -> None:
    """A single position's logits, which would be compared with every one."""
    _lay_out(bench, {})
    one: dict[str, NDArray[Any]] = {
        "provider": _logits()[:, :1].copy(),
        "reference": _logits(),
        "input_ids": np.zeros((2, 4), np.int32),
    }
    bench.put_arrays("teacher_probe", "probe.safetensors", one)


def logits_of_half_of_the_windows(bench: Bench) -> None:
    """The stored logits are of fewer windows than the stored tokens."""
    _lay_out(bench, {})
    half: dict[str, NDArray[Any]] = {
        "provider": _logits()[:1],
        "reference": _logits()[:1],
        "input_ids": np.zeros((2, 4), np.int32),
    }
    bench.put_arrays("teacher_probe", "probe.safetensors", half)


def half_of_the_windows(bench: Bench) -> None:
    """What was stored is of fewer windows than the summary speaks of."""
    _lay_out(bench, {})
    half: dict[str, NDArray[Any]] = {
        "provider": _logits()[:1],
        "reference": _logits()[:1],
        "input_ids": np.zeros((1, 4), np.int32),
    }
    bench.put_arrays("teacher_probe", "probe.safetensors", half)


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
        known_bad(a_rolled_matrix_of_this_run),
        known_unusable(one_position_for_many, raises=ValueError),
        known_unusable(half_of_the_windows, raises=ValueError),
        known_unusable(logits_of_half_of_the_windows, raises=ValueError),
    ),
)
def teacher_parity(context: Context) -> Iterator[Measurement]:
    """Refuted when the provider's logits differ from an independent forward, or from themselves a second time."""
    evidence = context.evidence("teacher_probe")
    arrays, facts = evidence.arrays("probe.safetensors"), evidence.json("probe.json")
    provider, reference = arrays["provider"].astype(np.float64), arrays["reference"].astype(np.float64)
    if provider.shape != reference.shape:  # numpy would compare one position with many
        raise ValueError(f"provider has shape {provider.shape}, reference {reference.shape}")
    if arrays["input_ids"].size != facts["positions"] or len(arrays["input_ids"]) != len(provider):
        raise ValueError(f"{facts['positions']} positions were compared, and stored are {arrays['input_ids'].shape}")
    stored = float(np.abs(provider - reference).max())
    worst = max(stored, float(facts["max_abs"]))
    yield Measurement("max_abs_difference", worst, "logit", n=int(facts["positions"]))
    yield Measurement("repeat_difference", facts["second_forward_max_abs"], "logit", n=int(facts["positions"]))
