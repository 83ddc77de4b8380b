"""Weights out of a GGUF file, dequantised by the `gguf` package, one tensor at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from refute.engines.model.forward.weights import (
    EVERY_ROW,
    Array,
    Rows,
    Shape,
    check_architecture,
    check_tensor_names,
    refuse,
)
from refute.engines.model.gguf import metadata, open_gguf
from refute.errors import MissingInputsError

# Metadata that changes the computation, with the values under which it does not.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "rope.scaling.type": (None, "none"),
    "expert_count": (None, 0),
    "logit_scale": (None,),
    "attention.sliding_window": (None, 0),
    "attention.causal": (None, True),
}


class GgufWeights:
    """A GGUF file of a known architecture. Raises MissingInputsError if damaged, UsageError if unknown."""

    def __init__(self, path: Path) -> None:
        reader = open_gguf(path)
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.shape = self._read_shape(reader)
        check_tensor_names(path, self._tensors, self.shape)

    def has(self, name: str) -> bool:
        """Whether the file holds the tensor."""
        return name in self._tensors

    def get(self, name: str, rows: Rows = EVERY_ROW) -> Array:
        """Dequantised rows. Raises MissingInputsError if the file holds no such tensor."""
        if name not in self._tensors:
            raise MissingInputsError(f"{self._path} holds no tensor {name!r}")
        tensor = self._tensors[name]
        numbers: Array = dequantize(np.asarray(tensor.data)[rows], tensor.tensor_type).astype(np.float64)
        return numbers

    @property
    def names(self) -> tuple[str, ...]:
        """GGUF's names of all tensors."""
        return tuple(self._tensors)

    def _read_shape(self, reader: GGUFReader) -> Shape:
        architecture = check_architecture(self._path, metadata(reader, "general.architecture"))

        def number(key: str, default: float | None = None) -> float:
            value = metadata(reader, f"{architecture}.{key}", default)
            if not isinstance(value, int | float):
                raise MissingInputsError(f"{self._path}: metadata {architecture}.{key} is {value!r}, expected a number")
            return value

        for key, neutral in _NEUTRAL.items():
            found = metadata(reader, f"{architecture}.{key}")
            if found not in neutral:
                raise refuse(self._path, f"{architecture}.{key} = {found!r}")
        hidden, heads = int(number("embedding_length")), int(number("attention.head_count"))
        head_dim = int(number("attention.key_length", hidden // heads))
        embedding = self._tensors.get("token_embd.weight")
        if embedding is None:
            raise MissingInputsError(f"{self._path} holds no tensor 'token_embd.weight'")
        return Shape(
            architecture=architecture,
            layers=int(number("block_count")),
            hidden_size=hidden,
            heads=heads,
            kv_heads=int(number("attention.head_count_kv", heads)),
            head_dim=head_dim,
            rotary_dim=int(number("rope.dimension_count", head_dim)),
            rope_base=float(number("rope.freq_base", 10_000.0)),
            norm_epsilon=float(number("attention.layer_norm_rms_epsilon")),
            vocab_rows=int(embedding.shape[1]),
            # llama.cpp's converter permutes q and k of llama, and of llama only, for its "normal" rotary.
            interleaved=architecture == "llama",
        )
