"""Copies of a sound small model with one fault each: no number, half, without metadata, nobody's, mute."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file

_WEIGHTS: Final = "model.safetensors"
_CONFIG: Final = "config.json"
_KEY: Final = b"general.architecture"
# In a layer: nobody sees it before the model computes. In the last norm: no logit is a number.
NOT_A_NUMBER: Final = {"nan-in-weights": "model.layers.1.mlp.up_proj.weight", "nan-in-logits": "model.norm.weight"}
# Where a safetensors file and a GGUF file say what they hold.
_METADATA: Final = slice(8, 72)


def make_faulty_folders(place: Path) -> None:
    """Beside `place`/model: a folder for each of NOT_A_NUMBER and FOLDERS."""
    for name, tensor in NOT_A_NUMBER.items():
        _spoil(shutil.copytree(place / "model", place / name), tensor)
    for name, fault in FOLDERS.items():
        fault(Path(shutil.copytree(place / "model", place / name)))


def make_faulty_files(place: Path) -> None:
    """Beside `place`/model.gguf: a file for each of FILES."""
    sound = (place / "model.gguf").read_bytes()
    for name, fault in FILES.items():
        (place / name).write_bytes(fault(sound))


def edit_json(path: Path, **changes: Any) -> None:
    """Sets `changes` in the JSON object at `path`."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def _spoil(folder: Path, tensor: str) -> None:
    weights = load_file(folder / _WEIGHTS)
    weights[tensor].view(-1)[0] = torch.nan
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / _WEIGHTS).chmod(0o644)  # the NaN is all that is wrong with it


def _rewritten(fault: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / _WEIGHTS).write_bytes(fault((folder / _WEIGHTS).read_bytes()))


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _zeroed(content: bytes) -> bytes:
    zeros = bytes(_METADATA.stop - _METADATA.start)
    return content[: _METADATA.start] + zeros + content[_METADATA.stop :]


def _of_nobody(content: bytes) -> bytes:
    """With another word where a GGUF file says its architecture: behind the key, its type and the word's length."""
    start = content.index(_KEY) + len(_KEY) + 12
    return content[:start] + b"nobod" + content[start + 5 :]


def _nobodys(folder: Path) -> None:
    edit_json(folder / _CONFIG, model_type="nobody", architectures=["NobodyForCausalLM"])


def _mute(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


FOLDERS: Final[dict[str, Callable[[Path], object]]] = {
    "half-a-model": _rewritten(_half),
    "zeroed-metadata": _rewritten(_zeroed),
    "unknown-architecture": _nobodys,
    "no-tokenizer": _mute,
}
FILES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "half-a-model.gguf": _half,
    "zeroed-metadata.gguf": _zeroed,
    "unknown-architecture.gguf": _of_nobody,
}
