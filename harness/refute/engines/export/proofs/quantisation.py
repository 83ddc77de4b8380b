"""What a quantised file lacks of the one in full precision, tensor by tensor, and whether it is what its label says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from refute.engines.export.gguf.recipes import bits_per_weight, speaks_of, stored_as
from refute.engines.model.gguf import metadata, open_gguf
from refute.errors import ExperimentError, MissingInputsError
from refute.spec.experiments.evidence.export import Quantisation, StoredTensor
from refute.spec.publication import ExportLabel

_NUMBERS_AT_A_TIME = 1 << 22
_NAN = 0xFF  # every block format has its scale in float16, which is NaN when all its bits are ones


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """A tensor as it lies in a file: its blocks (rows, bytes or numbers), their format, and its shape, rows first."""

    data: NDArray[Any]
    kind: GGMLQuantizationType
    shape: tuple[int, ...]


def open_blocks(path: Path) -> tuple[dict[str, StoredBlocks], int]:
    """Every tensor of a GGUF file, mapped and not read, and its number of layers."""
    reader = open_gguf(path)
    layers = metadata(reader, f"{metadata(reader, 'general.architecture')}.block_count")
    if not isinstance(layers, int):
        raise MissingInputsError(f"{path} does not say how many layers it has")
    found = {
        tensor.name: StoredBlocks(
            np.asarray(tensor.data), tensor.tensor_type, tuple(int(size) for size in reversed(tensor.shape))
        )
        for tensor in reader.tensors
    }
    return found, layers


def compare_blocks(
    file: str, label: ExportLabel, layers: int, found: Mapping[str, StoredBlocks], full: Mapping[str, StoredBlocks]
) -> Quantisation:
    """Each tensor of `found`, a file called `file`, beside the same of `full`.

    Raises ExperimentError where the two files have other tensors, or tensors of other shapes.
    """
    if {name: each.shape for name, each in found.items()} != {name: each.shape for name, each in full.items()}:
        raise ExperimentError(
            f"{file} has other tensors than the file of full precision", hint="export both from one folder"
        )
    wanted = {name: stored_as(name, each.shape, label, layers=layers).wanted for name, each in found.items()}
    tensors = (_compare(name, each, full[name], wanted[name]) for name, each in found.items())
    return Quantisation(file=file, label=label.value, label_bits=_label_bits(found, wanted), tensors=tuple(tensors))


def known_bad(
    label: ExportLabel, layers: int, found: Mapping[str, StoredBlocks], full: Mapping[str, StoredBlocks]
) -> dict[str, Quantisation]:
    """What is said of a file with one matrix of another layer, or a tenth too large, or NaN in a block."""
    name = "blk.0.ffn_up.weight"
    one = found[name]
    other = found[f"blk.{layers - 1}.ffn_up.weight"] if layers > 1 else _rolled(one)
    broken = StoredBlocks(_with_nan(one), one.kind, one.shape)
    larger = StoredBlocks(1.1 * _numbers(one), GGMLQuantizationType.F32, one.shape)
    planted = {"another_layers_tensor": other, "nan_block": broken, "a_tenth_larger": larger}
    return {
        fault: compare_blocks(fault, label, layers, {name: each}, {name: full[name]}) for fault, each in planted.items()
    }


def _rolled(stored: StoredBlocks) -> StoredBlocks:
    return StoredBlocks(np.roll(stored.data, 1, axis=0), stored.kind, stored.shape)


def _with_nan(stored: StoredBlocks) -> NDArray[Any]:
    data = np.array(stored.data)
    data.view(np.uint8).reshape(-1)[: GGML_QUANT_SIZES[stored.kind][1]] = _NAN
    return data


def _numbers(stored: StoredBlocks) -> NDArray[np.float32]:
    return np.asarray(dequantize(stored.data, stored.kind), dtype=np.float32)


def _compare(name: str, found: StoredBlocks, full: StoredBlocks, wanted: GGMLQuantizationType) -> StoredTensor:
    lacking = whole = 0.0
    not_finite = 0
    for one, other in zip(_pieces(found), _pieces(full), strict=True):
        finite = np.isfinite(one)
        not_finite += int(one.size - finite.sum())
        lacking += float(np.square(np.where(finite, one - other, 0.0), dtype=np.float64).sum())
        whole += float(np.square(other, dtype=np.float64).sum())
    return StoredTensor(
        name=name,
        kind=found.kind.name,
        wanted=wanted.name,
        numbers=math.prod(found.shape),
        labelled=speaks_of(name, found.shape),
        bits=bits_per_weight(found.kind),
        not_finite=not_finite,
        # Nothing is lost of a tensor of zeros, unless it became another.
        relative_l2=math.sqrt(lacking / whole) if whole else float(lacking > 0),
    )


def _pieces(stored: StoredBlocks) -> Iterable[NDArray[np.float32]]:
    """Its numbers in float32, some rows at a time."""
    rows = max(1, _NUMBERS_AT_A_TIME // stored.shape[-1])
    data = stored.data if len(stored.shape) > 1 else stored.data[None]
    for first in range(0, len(data), rows):
        yield _numbers(StoredBlocks(data[first : first + rows], stored.kind, stored.shape))


def _label_bits(found: Mapping[str, StoredBlocks], wanted: Mapping[str, GGMLQuantizationType]) -> float:
    """Bits a number where every tensor that the label speaks of follows it."""
    spoken_of = {name: math.prod(each.shape) for name, each in found.items() if speaks_of(name, each.shape)}
    bits = sum(count * bits_per_weight(wanted[name]) for name, count in spoken_of.items())
    return bits / sum(spoken_of.values())
