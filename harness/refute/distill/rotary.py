"""Rotary positions (Su et al. 2021, arXiv:2104.09864), as a folder's configuration asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refute.distill.weights import Array, Shape


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
    """What Llama 3.1 divides the frequencies by (arXiv:2407.21783 names it; the rule is that of its reference code).

    Pairs that turn more than `high_freq_factor` times within the original context keep their frequency, pairs that
    turn less than `low_freq_factor` times are slowed down by `factor`; in between the frequency, not the divisor, is
    interpolated linearly in the number of turns.
    """
    turns = rope["original_max_position_embeddings"] * frequencies(shape) / (2 * np.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    divisors: Array = 1.0 / (kept + (1.0 - kept) / rope["factor"])
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
