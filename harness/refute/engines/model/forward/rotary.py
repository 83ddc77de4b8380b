"""Rotary positions (Su et al. 2021, arXiv:2104.09864), as a folder's configuration asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refute.engines.model.forward.weights import Array, Shape
from refute.errors import MissingInputsError


def read_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_type`, `rope_theta` and what else a config.json says of rotary positions, today or in older spellings."""
    stated = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = stated.get("rope_theta", config.get("rope_theta", 10_000.0))
    return {**stated, "rope_type": stated.get("rope_type", stated.get("type", "default")), "rope_theta": theta}


def frequencies(shape: Shape) -> Array:
    """Radians by which each pair (rotary_dim / 2,) turns from one position to the next."""
    powers = np.arange(0, shape.rotary_dim, 2, dtype=np.float64) / shape.rotary_dim
    turned: Array = shape.rope_base**-powers
    return turned


def llama3_divisors(rope: Mapping[str, Any], shape: Shape) -> Array:
    """What Llama 3.1 divides frequencies (rotary_dim / 2,) by, as `apply_scaling` of Meta's reference code does.

    Pairs that turn more than `high_freq_factor` times within the original context keep their frequency, pairs that
    turn less than `low_freq_factor` times are slowed down by `factor`; in between the frequency, not the divisor, is
    interpolated linearly in the number of turns. Raises MissingInputsError where `rope` does not give these numbers.
    """
    names = ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "factor")
    numbers: list[Any] = [rope.get(name) for name in names]
    context, low, high, factor = numbers
    if not all(isinstance(number, int | float) and number > 0 for number in numbers) or high <= low:
        raise MissingInputsError(
            f"rotary positions of type llama3 are given as {dict(zip(names, numbers, strict=True))}; expected positive "
            "numbers, and a high_freq_factor above the low one",
            hint="complete rope_parameters (or rope_scaling) in the model's config.json",
        )
    turns = context * frequencies(shape) / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    divisors: Array = 1.0 / (kept + (1.0 - kept) / factor)
    return divisors


def rotate(heads: Array, cosine: Array, sine: Array, shape: Shape) -> Array:
    """Turn each rotary pair of `heads` (L, heads, head_dim) by its position's angle; the rest is left."""
    turning, rest = heads[..., : shape.rotary_dim], heads[..., shape.rotary_dim :]
    if shape.interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = np.split(turning, 2, axis=-1)
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    merged = np.stack(turned, axis=-1).reshape(turning.shape) if shape.interleaved else np.concatenate(turned, -1)
    return np.concatenate([merged, rest], axis=-1)
