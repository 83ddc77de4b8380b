"""Float32 matrices in the block formats of GGUF files, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from refute.errors import MissingDependencyError, NonFiniteError

Numbers = NDArray[np.float32]
Blocks = NDArray[Any]

# 64 MiB of float32: quantising takes several copies of what it is given.
_NUMBERS_AT_A_TIME = 1 << 24
_HALVES = {GGMLQuantizationType.F16: torch.float16, GGMLQuantizationType.BF16: torch.bfloat16}
_KQUANTS = frozenset({GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q5_K, GGMLQuantizationType.Q6_K})
_LARGEST_HALF = 65504.0


def to_blocks(name: str, numbers: Numbers, kind: GGMLQuantizationType) -> Blocks:
    """`numbers` (..., n) as a GGUF file stores them: float32, float16, or bytes (..., m).

    Raises NonFiniteError for NaN, infinities, and what float16 cannot hold; MissingDependencyError for K-quants where
    the extra `kquant` is not installed.
    """
    _require_finite(name, numbers, kind)
    if kind == GGMLQuantizationType.F32:
        return np.ascontiguousarray(numbers)
    quantise = _quantiser(kind)
    rows = max(1, _NUMBERS_AT_A_TIME // numbers.shape[-1])
    return np.concatenate([quantise(numbers[first : first + rows]) for first in range(0, len(numbers), rows)])


def _require_finite(name: str, numbers: Numbers, kind: GGMLQuantizationType) -> None:
    largest = max(abs(float(numbers.max())), abs(float(numbers.min())))
    if not np.isfinite(largest):
        raise NonFiniteError(
            f"{name} holds NaN or infinities, expected finite weights",
            hint="llama.cpp refuses such a file, or answers with nothing; look at the training run",
        )
    if kind == GGMLQuantizationType.F16 and largest > _LARGEST_HALF:
        raise NonFiniteError(
            f"{name} holds {largest:.6g}, and float16 ends at {_LARGEST_HALF:.0f}", hint="export as BF16 or F32"
        )


def _quantiser(kind: GGMLQuantizationType) -> Callable[[Numbers], Blocks]:
    if kind in _HALVES:
        return lambda rows: _halved(rows, _HALVES[kind])
    if kind in _KQUANTS:
        return _kquantiser(kind)
    return lambda rows: np.asarray(gguf.quants.quantize(rows, kind))


def _halved(rows: Numbers, dtype: torch.dtype) -> Blocks:
    """Rounded to nearest, ties to even; torch has instructions for it, numpy and gguf have not."""
    half = torch.from_numpy(np.ascontiguousarray(rows)).to(dtype)
    return np.asarray(half.view(torch.uint8) if dtype == torch.bfloat16 else half)


def _kquantiser(kind: GGMLQuantizationType) -> Callable[[Numbers], Blocks]:
    try:
        import libgguf
    except ImportError as error:
        raise MissingDependencyError("K-quants", "kquant") from error
    engine: Any = libgguf  # which ships no types
    return lambda rows: np.asarray(engine.quantize_rows(np.ascontiguousarray(rows), int(kind)))
