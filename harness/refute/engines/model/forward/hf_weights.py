"""Weights out of a Hugging Face folder, straight from the safetensors bytes: no torch, bfloat16 included."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute.engines.model.forward.rotary import llama3_divisors, read_rope
from refute.engines.model.forward.weights import (
    EVERY_ROW,
    Array,
    Rows,
    Shape,
    check_architecture,
    check_tensor_names,
    refuse,
)
from refute.errors import MissingInputsError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

# GGUF's name of each part of a Hugging Face tensor name.
_PARTS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass(frozen=True, slots=True)
class _Stored:
    """One tensor inside a memory-mapped file."""

    data: NDArray[Any]
    is_bfloat16: bool

    def float32(self, rows: Rows) -> NDArray[np.float32]:
        picked = self.data[rows]
        if self.is_bfloat16:
            picked = (picked.astype(np.uint32) << 16).view(np.float32)
        return picked.astype(np.float32, copy=False)

    def rows(self, rows: Rows) -> Array:
        wide = self.data.dtype == np.float64
        return np.asarray(self.data[rows] if wide else self.float32(rows), dtype=np.float64)


class SafetensorsWeights:
    """A Hugging Face folder of a known architecture. MissingInputsError if damaged, UsageError if unknown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config = read_config(folder)
        self._tensors: dict[str, _Stored] = {}
        for file in weight_files(folder):
            self._tensors.update(_open_safetensors(file))
        if config.get("tie_word_embeddings", False):
            self._tensors.pop("output.weight", None)
        elif "output.weight" not in self._tensors:
            raise MissingInputsError(f"{folder} holds no lm_head.weight, and its config does not tie it")
        self.shape = self._read_shape(config)
        if (rope := read_rope(config))["rope_type"] == "llama3":
            # A GGUF file carries them as a tensor of this name.
            divisors = llama3_divisors(rope, self.shape)
            self._tensors["rope_freqs.weight"] = _Stored(divisors, is_bfloat16=False)
        check_tensor_names(folder, self._tensors, self.shape)

    def has(self, name: str) -> bool:
        """Whether the folder holds the tensor."""
        return name in self._tensors

    def get(self, name: str, rows: Rows = EVERY_ROW) -> Array:
        """Rows of a tensor. Raises MissingInputsError if the folder holds no such tensor."""
        if name not in self._tensors:
            raise MissingInputsError(f"{self._folder} holds no tensor for {name!r}")
        return self._tensors[name].rows(rows)

    @property
    def names(self) -> tuple[str, ...]:
        """GGUF's names of all tensors, the divisors of rotary frequencies among them; no head where it is tied."""
        return tuple(self._tensors)

    def size(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, rows first."""
        return self._tensors[name].data.shape

    def float32(self, name: str) -> NDArray[np.float32]:
        """A whole tensor in float32; a view of the file where it is stored so."""
        return self._tensors[name].float32(EVERY_ROW)

    def _read_shape(self, config: dict[str, Any]) -> Shape:
        architecture = check_architecture(self._folder, config.get("model_type"))
        rope = read_rope(config)
        if rope["rope_type"] not in {"default", "llama3"}:
            raise refuse(self._folder, f"rope type {rope['rope_type']!r}")
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise refuse(self._folder, f"partial_rotary_factor = {rope['partial_rotary_factor']}")
        if config.get("hidden_act", "silu") != "silu":
            raise refuse(self._folder, f"hidden_act {config['hidden_act']!r}")
        if config.get("use_sliding_window", False):
            raise refuse(self._folder, "a sliding window")
        if "token_embd.weight" not in self._tensors:
            raise MissingInputsError(f"{self._folder} holds no model.embed_tokens.weight")
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head_dim = int(config.get("head_dim") or hidden // heads)
        return Shape(
            architecture=architecture,
            layers=int(config["num_hidden_layers"]),
            hidden_size=hidden,
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=head_dim,
            rotary_dim=head_dim,
            rope_base=float(rope["rope_theta"]),
            norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
            vocab_rows=len(self._tensors["token_embd.weight"].data),
            interleaved=False,
            # transformers gives a mistral that says nothing a window of 4096; the others have it behind a switch.
            window=config.get("sliding_window", 4096) if architecture == "mistral" else None,
        )


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises MissingInputsError if it is absent or no JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingInputsError(
            f"{path} cannot be read: {error}", hint="point at a folder written by save_pretrained"
        ) from error
    if not isinstance(config, dict):
        raise MissingInputsError(f"{path} holds {type(config).__name__}, expected a JSON object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model: those that its index names, else `model.safetensors`."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking:
        raise MissingInputsError(f"{folder} lacks {', '.join(lacking)}", hint="fetch the model again")
    return [folder / name for name in names]


def _open_safetensors(path: Path) -> dict[str, _Stored]:
    """Tensors of one file by GGUF name (safetensors format: u64 header length, JSON header, bytes)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < path.stat().st_size else None
        if not isinstance(header, dict):
            raise ValueError(f"header of {length} bytes")
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {
            gguf_name(name): _map(path, 8 + length, entry)
            for name, entry in entries.items()
            if not name.endswith("rotary_emb.inv_freq")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingInputsError(
            f"{path} ({path.stat().st_size} bytes) is no complete safetensors file: {error}",
            hint="the file is cut short, damaged or of a dtype other than " + ", ".join(_DTYPES),
        ) from error


def _map(path: Path, start: int, entry: dict[str, Any]) -> _Stored:
    kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    dtype = np.dtype(_DTYPES[kind])
    if math.prod(shape) * dtype.itemsize != last - first:
        raise ValueError(f"{last - first} bytes stored for shape {shape} of {kind}")
    return _Stored(np.memmap(path, dtype, "c", start + first, shape), kind == "BF16")


def gguf_name(name: str) -> str:
    """GGUF's name of a Hugging Face tensor; a name without one is returned as it is, to be refused later."""
    module, _, kind = name.rpartition(".")
    prefix = ""
    parts = module.split(".", 3)
    if parts[:2] == ["model", "layers"] and len(parts) == 4:
        prefix, module = f"blk.{parts[2]}.", parts[3]
    return f"{prefix}{_PARTS[module]}.{kind}" if module in _PARTS else name
