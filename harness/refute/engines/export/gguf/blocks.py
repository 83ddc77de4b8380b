"""Float32 matrices in the block formats of GGUF files, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
# Of halves so many as a processor's cache holds.
_HALVES_AT_A_TIME = 1 << 21


@dataclass(frozen=True, slots=True)
class _Half:
    """A format of two bytes a number: those of its bits that are all ones in what is no finite number."""

    dtype: torch.dtype
    exponent: int


_HALVES = {
    GGMLQuantizationType.F16: _Half(torch.float16, 0x7C00),
    GGMLQuantizationType.BF16: _Half(torch.bfloat16, 0x7F80),
}
_KQUANTS = frozenset({GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q5_K, GGMLQuantizationType.Q6_K})


def to_blocks(name: str, numbers: Numbers, kind: GGMLQuantizationType) -> Blocks:
    """`numbers` (..., n) as a GGUF file stores them: float32, float16, or bytes (..., m).

    Raises NonFiniteError for NaN, infinities, and what float16 cannot hold; MissingDependencyError for K-quants where
    the extra `kquant` is not installed.
    """
    if kind in _HALVES:
        return _halved(name, numbers, kind)
    _require_finite(name, numbers)
    if kind == GGMLQuantizationType.F32:
        return np.ascontiguousarray(numbers)
    quantise = _quantiser(kind)
    rows = max(1, _NUMBERS_AT_A_TIME // numbers.shape[-1])
    return np.concatenate([quantise(numbers[first : first + rows]) for first in range(0, len(numbers), rows)])


def _require_finite(name: str, numbers: Numbers) -> None:
    if not np.isfinite([numbers.max(), numbers.min()]).all():
        raise NonFiniteError(
            f"{name} holds NaN or infinities, expected finite weights",
            hint="llama.cpp refuses such a file, or answers with nothing; look at the training run",
        )


def _halved(name: str, numbers: Numbers, kind: GGMLQuantizationType) -> Blocks:
    """Rounded to nearest, ties to even; torch has instructions for it, numpy and gguf have not.

    What is no finite number is looked for among the halves, which are half as many bytes.
    """
    half = _HALVES[kind]
    given = torch.from_numpy(np.ascontiguousarray(numbers))
    made = torch.empty(given.shape, dtype=half.dtype).copy_(given)
    bits = made.view(torch.int16).numpy().reshape(-1)
    for first in range(0, bits.size, _HALVES_AT_A_TIME):
        if int((bits[first : first + _HALVES_AT_A_TIME] & 0x7FFF).max()) >= half.exponent:
            _require_finite(name, numbers)
            largest = float(np.abs(numbers).max())
            raise NonFiniteError(
                f"{name} holds {largest:.6g}, and {kind.name} ends at {torch.finfo(half.dtype).max:.6g}",
                hint="export as F32",
            )
    return made.view(torch.uint8).numpy() if kind == GGMLQuantizationType.BF16 else made.numpy()


def _quantiser(kind: GGMLQuantizationType) -> Callable[[Numbers], Blocks]:
    if kind in _KQUANTS:
        return _kquantiser(kind)
    return lambda rows: np.asarray(gguf.quants.quantize(rows, kind))


def _kquantiser(kind: GGMLQuantizationType) -> Callable[[Numbers], Blocks]:
    try:
        import libgguf
    except ImportError as error:
        raise MissingDependencyError("K-quants", "kquant") from error
    engine: Any = libgguf  # which ships no types
    return lambda rows: np.asarray(engine.quantize_rows(np.ascontiguousarray(rows), int(kind)))
