"""Is the KD loss what its formula says? Each falsifier reads numbers that the loss of this very run was measured at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Control, Measurement, falsifier, known_bad, known_good, known_unusable

# math.json of a loss that is right: no error anywhere, and movement where there must be some.
_RIGHT: Mapping[str, float] = {
    "value_abs_error": 1e-7,
    "gradient_rel_error": 1e-7,
    "kldiv_abs_error": 1e-7,
    "finite_difference_ratio": 1e-5,
    "direction_abs_error": 1e-8,
    "self_kl": 0.0,
    "self_gradient_max": 0.0,
    "min_kl": 0.0,
    "ce_only_gradient_difference": 0.0,
    "kd_only_ce_gradient": 0.0,
    "shift_invariance": 1e-7,
    "vocabulary_padding_difference": 0.0,
    "split_difference": 1e-7,
    "chunk_difference": 1e-7,
    "monotone_divergence_violations": 0,
    "one_step_distance_drop": 0.1,
    "ten_step_ratio": 0.3,
    "fixture_argmax_errors": 0,
    "device_gradient_error": 0.0,
}


# Where and of what it was measured.
_MADE: Mapping[str, Any] = {"device": "cpu", "dtype": "float32", "divergence": "forward_kl", "beta": None}

# The key of math.json behind each measurement.
_KEYS: Mapping[str, str] = {
    "argmax_errors": "fixture_argmax_errors",
    "gradient_difference": "device_gradient_error",
    "ce_only_gradient_difference": "ce_only_gradient_difference",
    "kd_only_label_gradient": "kd_only_ce_gradient",
    "self_kl": "self_kl",
    "self_gradient": "self_gradient_max",
    "lowest_kl": "min_kl",
    "violations": "monotone_divergence_violations",
    "value_error": "value_abs_error",
    "kldiv_error": "kldiv_abs_error",
    "gradient_error": "gradient_rel_error",
    "finite_difference_error": "finite_difference_ratio",
    "direction_error": "direction_abs_error",
    "shift_difference": "shift_invariance",
    "padding_difference": "vocabulary_padding_difference",
    "split_difference": "split_difference",
    "chunk_difference": "chunk_difference",
    "distance_drop": "one_step_distance_drop",
}
# What a release says of its training and a certificate repeats.
_SETTINGS = ("dtype", "divergence", "beta")
_COUNTS = ("argmax_errors", "violations")
_SIGNED = ("lowest_kl", "distance_drop")


def _with(**wrong: float) -> Callable[[Bench], None]:
    """A loss that is right, but for the measurements in `wrong`, which fail their bars."""

    def build(bench: Bench) -> None:
        found: dict[str, float] = {}
        for name, key in _KEYS.items():
            bar, low, whole = bench.bar(name), -math.inf if name in _SIGNED else 0.0, name in _COUNTS
            if name in wrong:
                found[key] = bar.failing(wrong[name], low=low, whole=whole)
            else:
                found[key] = bar.holding(_RIGHT[key], low=low, whole=whole)
        _put(bench, {**_RIGHT, **_MADE, **found})

    return build


def _put(bench: Bench, found: Mapping[str, Any]) -> None:
    """A certificate that is of the device, precision and divergence of its release."""
    bench.put("kd_math", "math.json", found)
    release = {"device": found["device"], "training": {name: found[name] for name in _SETTINGS}}
    bench.put("release", "release.json", {"distillation": release})


def a_certificate_of_another_device(bench: Bench) -> None:
    """The loss is right elsewhere than the release trains."""
    _with()(bench)
    bench.put("kd_math", "math.json", {**_RIGHT, **_MADE, "device": "cuda"})


def a_certificate_of_another_precision(bench: Bench) -> None:
    """The loss is right in another precision than the release trains in."""
    _with()(bench)
    bench.put("kd_math", "math.json", {**_RIGHT, **_MADE, "dtype": "bfloat16"})


def a_certificate_of_another_divergence(bench: Bench) -> None:
    """The forward KL is right, and the release trains on another divergence."""
    _put(bench, {**_RIGHT, **_MADE, "divergence": "reverse_kl"})
    bench.put("kd_math", "math.json", {**_RIGHT, **_MADE})


def a_certificate_of_another_beta(bench: Bench) -> None:
    """The mixture is right with other weights than the release has."""
    _put(bench, {**_RIGHT, **_MADE, "divergence": "jensen_shannon", "beta": 0.5})
    bench.put("kd_math", "math.json", {**_RIGHT, **_MADE, "divergence": "jensen_shannon", "beta": 0.1})


def _wrong_one(name: str) -> Control:
    """What this very run's certificate says of a loss that is half as much again, which must fail the bar of `name`."""

    def build(bench: Bench) -> None:
        found = bench.real["kd_math"].json("wrong.json")
        error = found[_KEYS[name]]
        bench.bar(name).failing(error, low=error, high=error)
        _put(bench, found)

    return known_bad(build, name="a wrong loss as this run sees it")


_RIGHT_LOSS = known_good(_with(), name="a loss that is right")


def _numbers(context: Context, units: Mapping[str, str]) -> Iterator[Measurement]:
    """One measurement a name. Each is a maximum over cases, so n is 1."""
    content = context.evidence("kd_math").json("math.json")
    for name, unit in units.items():
        yield Measurement(name, content[_KEYS[name]], unit, n=1)


@falsifier(
    "kd-fixture",
    needs=("kd_math",),
    measures={"argmax_errors": "positions"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(argmax_errors=3), name="a fixture that predicts something else"),
    ),
)
def kd_fixture(context: Context) -> Iterator[Measurement]:
    """Refuted when a teacher built to repeat its last input token predicts another one through the provider."""
    return _numbers(context, {"argmax_errors": "positions"})


@falsifier(
    "device-gradient",
    needs=("kd_math",),
    measures={"gradient_difference": "relative"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(gradient_difference=0.1), name="a device that computes something else"),
    ),
)
def device_gradient(context: Context) -> Iterator[Measurement]:
    """Refuted when the gradient on the training device is not the gradient on the CPU."""
    return _numbers(context, {"gradient_difference": "relative"})


@falsifier(
    "kd-limits",
    needs=("kd_math",),
    measures={"ce_only_gradient_difference": "absolute", "kd_only_label_gradient": "absolute"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(ce_only_gradient_difference=0.5), name="weights mirrored: ce_weight weighs KL"),
        known_bad(_with(kd_only_label_gradient=0.5), name="cross-entropy mixed in at kd_weight 1"),
    ),
)
def kd_limits(context: Context) -> Iterator[Measurement]:
    """Refuted when ce_weight 1 is not plain cross-entropy, or labels move the gradient at kd_weight 1."""
    return _numbers(
        context,
        {
            "ce_only_gradient_difference": "absolute",
            "kd_only_label_gradient": "absolute",
        },
    )


@falsifier(
    "kd-zero",
    needs=("kd_math",),
    measures={"self_kl": "nat/token", "self_gradient": "absolute", "lowest_kl": "nat/token"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(self_kl=0.884), name="a KL that is cross-entropy: the teacher's entropy is left in"),
        known_bad(_with(self_gradient=0.1), name="a gradient at agreement"),
        known_bad(_with(lowest_kl=-7.7e-4), name="a negative KL"),
    ),
)
def kd_zero(context: Context) -> Iterator[Measurement]:
    """Refuted when loss or gradient are not zero where student equals teacher, or KL is negative anywhere."""
    return _numbers(
        context,
        {
            "self_kl": "nat/token",
            "self_gradient": "absolute",
            "lowest_kl": "nat/token",
        },
    )


@falsifier(
    "kd-monotone",
    needs=("kd_math",),
    measures={"violations": "steps"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(violations=2), name="a loss that falls on the way away"),
    ),
)
def kd_monotone(context: Context) -> Iterator[Measurement]:
    """Refuted when the loss falls anywhere on a path that leads the student away from the teacher."""
    return _numbers(context, {"violations": "steps"})


@falsifier(
    "kd-reference",
    needs=("kd_math", "release"),
    measures={
        "value_error": "absolute",
        "kldiv_error": "absolute",
        "gradient_error": "relative",
        "finite_difference_error": "relative",
        "direction_error": "nat/token",
    },
    controls=(
        _RIGHT_LOSS,
        _wrong_one("value_error"),
        known_bad(_with(value_error=0.3), name="a mean over the vocabulary"),
        known_bad(_with(gradient_error=0.138), name="a bfloat16 gradient 13.8 % off"),
        known_bad(_with(finite_difference_error=15.0), name="T squared in the value and not in the gradient"),
        known_bad(_with(direction_error=0.2), name="KL reversed"),
        known_bad(_with(kldiv_error=0.2), name="another KL than torch.nn.KLDivLoss"),
        known_unusable(a_certificate_of_another_device, raises=ValueError),
        known_unusable(a_certificate_of_another_precision, raises=ValueError),
        known_unusable(a_certificate_of_another_divergence, raises=ValueError),
        known_unusable(a_certificate_of_another_beta, raises=ValueError),
    ),
)
def kd_reference(context: Context) -> Iterator[Measurement]:
    """Refuted when value, gradient or direction differ from a float64 reference or from torch.nn.KLDivLoss."""
    certificate = context.evidence("kd_math").json("math.json")
    declared = context.evidence("release").json("release.json")["distillation"]
    due = {"device": declared["device"], **{name: declared["training"][name] for name in _SETTINGS}}
    found = {name: certificate[name] for name in due}
    if found != due:
        raise ValueError(f"the loss was certified as {found}, the release trains as {due}")
    return _numbers(
        context,
        {
            "value_error": "absolute",
            "kldiv_error": "absolute",
            "gradient_error": "relative",
            "finite_difference_error": "relative",
            "direction_error": "nat/token",
        },
    )


@falsifier(
    "kd-gradient-float32",
    needs=("kd_math",),
    measures={"gradient_error": "relative"},
    controls=(
        _RIGHT_LOSS,
        _wrong_one("gradient_error"),
        known_bad(_with(gradient_error=1e-3), name="a gradient 0.1 % off"),
    ),
)
def kd_gradient_float32(context: Context) -> Iterator[Measurement]:
    """Refuted when the gradient differs from the float64 reference by more than float32 rounding explains."""
    return _numbers(context, {"gradient_error": "relative"})


@falsifier(
    "kd-invariance",
    needs=("kd_math",),
    measures={
        "shift_difference": "absolute",
        "padding_difference": "absolute",
        "split_difference": "relative",
        "chunk_difference": "relative",
    },
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(shift_difference=0.4), name="a constant added to all logits changes the loss"),
        known_bad(_with(padding_difference=0.044), name="padding rows change the loss"),
        known_bad(_with(split_difference=1.0), name="accumulation doubles the gradient"),
        known_bad(_with(chunk_difference=0.5), name="the last chunk is lost"),
    ),
)
def kd_invariance(context: Context) -> Iterator[Measurement]:
    """Refuted when logit shift, vocabulary padding, micro-batch split or chunk size changes loss or gradient."""
    return _numbers(
        context,
        {
            "shift_difference": "absolute",
            "padding_difference": "absolute",
            "split_difference": "relative",
            "chunk_difference": "relative",
        },
    )


@falsifier(
    "kd-step",
    needs=("kd_math",),
    measures={"distance_drop": "nat/token"},
    controls=(
        _RIGHT_LOSS,
        known_bad(_with(distance_drop=-0.1), name="a step away from the teacher"),
    ),
)
def kd_step(context: Context) -> Iterator[Measurement]:
    """Refuted when one gradient step does not bring the student closer to its teacher."""
    return _numbers(context, {"distance_drop": "nat/token"})


def _ten_steps(share: float) -> Callable[[Bench], None]:
    """The loss after ten steps, in percent of where it began."""

    def build(bench: Bench) -> None:
        bar = bench.bar("final_share")
        find = bar.failing if share > 100 else bar.holding
        found = find(share, low=0.0, clear=True)
        bench.put("kd_math", "math.json", {**_RIGHT, "ten_step_ratio": found / 100})

    return build


@falsifier(
    "kd-ten-steps",
    needs=("kd_math",),
    measures={"final_share": "%"},
    controls=(
        known_good(_ten_steps(30.0), name="ten steps that help"),
        known_bad(_ten_steps(120.0), name="ten steps that make it worse"),
    ),
)
def kd_ten_steps(context: Context) -> Iterator[Measurement]:
    """Refuted when ten steps on one batch leave the loss above the stated share of its first value."""
    content = context.evidence("kd_math").json("math.json")
    yield Measurement("final_share", 100 * content["ten_step_ratio"], "%", n=1)
