"""Writes a Hugging Face folder again: weights in one dtype, in files of at most five gigabytes, one tensor at a time,
beside the model's own small files as both generations of transformers read them."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open

from refute.disk import working_in
from refute.engines.model.folder import copy_files, refuse_adapter
from refute.engines.model.forward.hf_weights import read_config, weight_files
from refute.engines.model.generations.portable import make_portable
from refute.engines.model.tools.lint.files import is_model_file
from refute.errors import NonFiniteError, UsageError
from refute.job import ProgressCallback

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_CONFIG_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# What transformers' save_pretrained splits at, and what hubs take in one upload.
LARGEST_FILE = 5_000_000_000
_WEIGHTS = (".safetensors", ".gguf")
# Statements about the files that they lie beside, and about no others.
_ABOUT_THE_SOURCE = frozenset({"bom.cdx.json", "verdict.sigstore.json", "model.sig"})
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor: where it is read, and how many bytes it takes once it is written."""

    name: str
    file: Path
    shape: tuple[int, ...]
    size: int


def export_safetensors(
    folder: Path, target: Path, dtype: str, report: ProgressCallback, *, largest_file: int = LARGEST_FILE
) -> tuple[Path, ...]:
    """Write the model in `folder` to the new folder `target`, whole or not at all, with weights in F32, F16 or BF16.

    Only files of the model go along, and say what both generations of transformers read: what a trainer leaves beside
    its model, checkpoints and pickles, stays behind.

    Returns the weight files. Raises UsageError where something is at `target` or `dtype` is another one,
    MissingInputsError for a folder that is not whole, NonFiniteError for what `dtype` cannot hold.
    """
    if dtype not in DTYPES:
        raise UsageError(
            f"safetensors are written as {', '.join(DTYPES)}, and not as {dtype}", hint="name a .gguf file"
        )
    if target.exists():
        raise UsageError(f"there is something at {target}", hint="name a folder that is not there yet")
    refuse_adapter(folder)
    config = read_config(folder)
    shards = _cut(_tensors(folder, DTYPES[dtype].itemsize), largest_file)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with working_in(target):
            draft.mkdir()
            names = _write_shards(draft, shards, dtype, report)
            if len(shards) > 1:
                _write_index(draft, dict(zip(names, shards, strict=True)))
            # transformers 4 reads `torch_dtype`, 5 reads `dtype`.
            stated = dict.fromkeys(("dtype", "torch_dtype"), _CONFIG_NAMES[dtype])
            _write_text(draft / "config.json", json.dumps({**config, **stated}, indent=2) + "\n")
            copy_files(folder, draft, tuple(_small_files(folder)))
            make_portable(draft)
            draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(target / name for name in names)


def _small_files(folder: Path) -> list[str]:
    """What goes along: what a reader of the model opens, card and licence among it, and no trainer's notes."""
    names = [path.name for path in folder.iterdir() if path.is_file() and is_model_file(path.name)]
    return [name for name in names if not name.endswith(_WEIGHTS) and name not in _ABOUT_THE_SOURCE]


def _tensors(folder: Path, itemsize: int) -> list[_Tensor]:
    found = []
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as stored:
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in sorted(stored.keys())}
        found += [_Tensor(name, file, shape, math.prod(shape) * itemsize) for name, shape in shapes.items()]
    return found


def _cut(tensors: list[_Tensor], largest: int) -> list[list[_Tensor]]:
    shards: list[list[_Tensor]] = [[]]
    for tensor in tensors:
        if shards[-1] and sum(each.size for each in shards[-1]) + tensor.size > largest:
            shards.append([])
        shards[-1].append(tensor)
    return shards


def _write_shards(draft: Path, shards: list[list[_Tensor]], dtype: str, report: ProgressCallback) -> list[str]:
    count, done = len(shards), 0
    with safe_open(shards[0][0].file, framework="pt") as first:
        stated = {**(first.metadata() or {}), "format": "pt"}
    whole = sum(len(shard) for shard in shards)
    numbered = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    names = ["model.safetensors"] if count == 1 else numbered
    for name, shard in zip(names, shards, strict=True):
        with (draft / name).open("wb") as file:
            file.write(_header(shard, dtype, stated))
            for tensor in shard:
                _write_tensor(file, tensor, DTYPES[dtype])
                done += 1
                report("write tensors", done, whole, {})
            os.fsync(file.fileno())
    return names


def _header(shard: list[_Tensor], dtype: str, stated: Mapping[str, str]) -> bytes:
    """The safetensors header: its length, then names, dtypes, shapes and places as JSON, padded to eight bytes."""
    entries: dict[str, Any] = {"__metadata__": dict(stated)}
    place = 0
    for tensor in shard:
        entries[tensor.name] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.size],
        }
        place += tensor.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_tensor(file: BinaryIO, tensor: _Tensor, dtype: torch.dtype) -> None:
    with safe_open(tensor.file, framework="pt") as stored:
        numbers: torch.Tensor = stored.get_tensor(tensor.name).to(dtype).contiguous()
    if not bool(torch.isfinite(numbers).all()):
        raise NonFiniteError(
            f"{tensor.name} holds NaN or infinities, or numbers beyond {dtype}", hint="look at the run, or choose F32"
        )
    numbers.reshape(-1).view(torch.uint8).numpy().tofile(file)


def _write_index(draft: Path, shards: Mapping[str, list[_Tensor]]) -> None:
    index = {
        "metadata": {"total_size": sum(tensor.size for shard in shards.values() for tensor in shard)},
        "weight_map": dict(sorted(_places(shards))),
    }
    _write_text(draft / _INDEX, json.dumps(index, indent=2) + "\n")


def _places(shards: Mapping[str, list[_Tensor]]) -> Iterator[tuple[str, str]]:
    return ((tensor.name, name) for name, shard in shards.items() for tensor in shard)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
