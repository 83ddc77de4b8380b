"""Reads every weight once, a few rows at a time: NaN, infinities, rows of zeros, constants, scale, repeated layers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from refute.engines.model.gguf import open_gguf
from refute.engines.model.tools.stored import StoredModel, Tensor

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_AT_ONCE = 1 << 22  # numbers
_LAYER = re.compile(r"(?:^|\.)(?:layers|blk)\.(\d+)\.(.+)$")


@dataclass(frozen=True, slots=True)
class TensorHealth:
    """What stands in one tensor. `rms` is over its finite numbers, `sha256` of its bytes."""

    name: str
    numbers: int
    nan: int
    infinite: int
    rows: int
    zero_rows: int
    constant: bool
    rms: float
    largest: float
    sha256: str


def scan_tensors(stored: StoredModel) -> Iterator[TensorHealth]:
    """The health of every tensor that can be read, in the order of the files; `unread_tensors` are the others."""
    readers = _gguf_readers(stored) if stored.format == "gguf" else {}
    for name, tensor in stored.tensors.items():
        if _is_read(stored, tensor):
            yield _scan(name, tensor, readers.get(name))


def unread_tensors(stored: StoredModel) -> dict[str, list[str]]:
    """By dtype the names of the tensors of which no number is looked at: whole numbers, FP8, blocks without reader."""
    found: dict[str, list[str]] = {}
    for name, tensor in stored.tensors.items():
        if not _is_read(stored, tensor):
            found.setdefault(tensor.dtype, []).append(name)
    return found


def _is_read(stored: StoredModel, tensor: Tensor) -> bool:
    return tensor.dtype in _NUMPY or (stored.format == "gguf" and _has_reader(tensor.dtype))


@cache
def _has_reader(block_format: str) -> bool:
    """Whether `gguf` dequantises it, which nothing but a try says."""
    kind = GGMLQuantizationType[block_format]
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def _gguf_readers(stored: StoredModel) -> dict[str, Any]:
    """Of the tensors in blocks; others lie in the file as numbers."""
    return {each.name: each for each in open_gguf(stored.path).tensors if each.tensor_type.name not in _NUMPY}


def _scan(name: str, tensor: Tensor, reader: Any) -> TensorHealth:
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    nan = infinite = zero_rows = 0
    squares, largest, low, high = 0.0, 0.0, np.inf, -np.inf
    for part in _parts(tensor, reader):
        finite = np.isfinite(part)
        nan += int(np.isnan(part).sum())
        infinite += int(np.isinf(part).sum())
        numbers = np.where(finite, part, 0.0)
        squares += float(np.square(numbers, dtype=np.float64).sum())
        zero_rows += int((part == 0).all(axis=-1).sum())
        if numbers.size:
            low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
            largest = max(largest, -low, high)
    return TensorHealth(
        name=name,
        numbers=tensor.numbers,
        nan=nan,
        infinite=infinite,
        rows=rows,
        zero_rows=zero_rows,
        constant=tensor.numbers > 1 and low == high,
        rms=float(np.sqrt(squares / max(tensor.numbers - nan - infinite, 1))),
        largest=largest,
        sha256=_sha256(tensor),
    )


def _parts(tensor: Tensor, reader: Any) -> Iterator[NDArray[np.float32]]:
    """Rows as float32, (rows, numbers), a few million numbers at a time."""
    width = tensor.shape[-1] if tensor.shape else 1
    rows = max(tensor.numbers // max(width, 1), 1)
    if reader is not None:
        data = np.asarray(reader.data).reshape(rows, -1)
    else:
        data = np.memmap(tensor.file, np.dtype(_NUMPY[tensor.dtype]), "r", tensor.offset, (rows, width))
    step = max(_AT_ONCE // max(width, 1), 1)
    for first in range(0, rows, step):
        piece = data[first : first + step]
        yield dequantize(piece, reader.tensor_type) if reader is not None else _as_float32(piece, tensor.dtype)


def _as_float32(piece: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (piece.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return piece.astype(np.float32)


def _sha256(tensor: Tensor) -> str:
    with tensor.file.open("rb") as file:
        file.seek(tensor.offset)
        digest, left = hashlib.sha256(), tensor.size
        while left and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def repeated_layers(health: list[TensorHealth]) -> list[tuple[int, int]]:
    """Pairs of layers whose tensors are the same to the last bit."""
    layers: dict[int, dict[str, str]] = {}
    for each in health:
        if found := _LAYER.search(each.name):
            layers.setdefault(int(found[1]), {})[found[2]] = each.sha256
    first: dict[tuple[tuple[str, str], ...], int] = {}
    pairs = []
    for number, content in sorted(layers.items()):
        before = first.setdefault(tuple(sorted(content.items())), number)
        if before != number:
            pairs.append((before, number))
    return pairs
