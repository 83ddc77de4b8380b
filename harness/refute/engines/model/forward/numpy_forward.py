"""An independent forward of llama, mistral, qwen2 and qwen3 in numpy float64, to hold a provider's logits against.

It shares no code with the provider but `gguf`'s block formats: no torch, no transformers. Formulas: RMSNorm
(Zhang & Sennrich 2019, arXiv:1910.07467), rotary positions, grouped-query attention (Ainslie et al. 2023,
arXiv:2305.13245), sliding windows (Jiang et al. 2023, arXiv:2310.06825), SwiGLU (Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute.engines.model.forward.gguf_weights import GgufWeights
from refute.engines.model.forward.hf_weights import SafetensorsWeights
from refute.engines.model.forward.rotary import frequencies, rotate
from refute.engines.model.forward.weights import Array, Weights
from refute.errors import UsageError

# Rows of the head converted to float64 at a time: 8192 x 4096 are 256 MiB.
_HEAD_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Reference:
    """Weights on disk and the arithmetic to use them; a layer at a time is in memory."""

    weights: Weights

    def logits(self, input_ids: NDArray[np.integer[Any]]) -> Array:
        """Logits (L, V), float64, at every position of `input_ids` (L,). UsageError for foreign ids."""
        shape = self.weights.shape
        if input_ids.ndim != 1 or not np.issubdtype(input_ids.dtype, np.integer):
            raise UsageError(f"input_ids must be (L,) integers, found {input_ids.shape} {input_ids.dtype}")
        if input_ids.size and (input_ids.min() < 0 or input_ids.max() >= shape.vocab_rows):
            raise UsageError(
                f"input_ids reach from {input_ids.min()} to {input_ids.max()}, expected 0 to {shape.vocab_rows - 1}"
            )
        cosine, sine = self._rotary_angles(len(input_ids))
        states = self.weights.get("token_embd.weight", input_ids)
        for layer in range(shape.layers):
            block = f"blk.{layer}."
            states = states + self._attention(block, self._norm(f"{block}attn_norm", states), cosine, sine)
            states = states + self._feed_forward(block, self._norm(f"{block}ffn_norm", states))
        return self._head(self._norm("output_norm", states))

    def _norm(self, name: str, states: Array) -> Array:
        scale = np.sqrt(np.mean(states**2, axis=-1, keepdims=True) + self.weights.shape.norm_epsilon)
        normed: Array = states / scale * self.weights.get(f"{name}.weight")
        return normed

    def _linear(self, name: str, states: Array) -> Array:
        out: Array = states @ self.weights.get(f"{name}.weight").T
        return out + self.weights.get(f"{name}.bias") if self.weights.has(f"{name}.bias") else out

    def _attention(self, block: str, states: Array, cosine: Array, sine: Array) -> Array:
        shape, length = self.weights.shape, len(states)
        queries = self._linear(f"{block}attn_q", states).reshape(length, shape.heads, shape.head_dim)
        keys = self._linear(f"{block}attn_k", states).reshape(length, shape.kv_heads, shape.head_dim)
        values = self._linear(f"{block}attn_v", states).reshape(length, shape.kv_heads, shape.head_dim)
        if shape.norms_heads:
            queries, keys = self._norm(f"{block}attn_q_norm", queries), self._norm(f"{block}attn_k_norm", keys)
        queries, keys = (rotate(heads, cosine, sine, shape) for heads in (queries, keys))
        group = shape.heads // shape.kv_heads
        keys, values = np.repeat(keys, group, axis=1), np.repeat(values, group, axis=1)
        scores = np.einsum("qhd,khd->hqk", queries, keys) / np.sqrt(shape.head_dim)
        scores[:, ~self._visible(length)] = -np.inf
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", shares, values).reshape(length, shape.heads * shape.head_dim)
        return self._linear(f"{block}attn_output", mixed)

    def _visible(self, length: int) -> NDArray[np.bool_]:
        """Which keys (columns) each query (row) attends to: itself and what is before it, within the window."""
        back = np.subtract.outer(np.arange(length), np.arange(length))
        window = self.weights.shape.window
        return (back >= 0) & (back < (length if window is None else window))

    def _feed_forward(self, block: str, states: Array) -> Array:
        gate = self._linear(f"{block}ffn_gate", states)
        # silu(x) = x * sigmoid(x), written with tanh because exp(-x) overflows for large negative x.
        gate = gate * 0.5 * (1.0 + np.tanh(0.5 * gate))
        return self._linear(f"{block}ffn_down", gate * self._linear(f"{block}ffn_up", states))

    def _head(self, states: Array) -> Array:
        name = "output.weight" if self.weights.has("output.weight") else "token_embd.weight"
        rows = self.weights.shape.vocab_rows
        parts = [
            states @ self.weights.get(name, slice(first, first + _HEAD_ROWS)).T for first in range(0, rows, _HEAD_ROWS)
        ]
        return np.concatenate(parts, axis=-1)

    def _rotary_angles(self, length: int) -> tuple[Array, Array]:
        """Cosine and sine (L, 1, rotary_dim / 2) of position times frequency; llama 3 has divisors."""
        frequency = frequencies(self.weights.shape)
        if self.weights.has("rope_freqs.weight"):
            frequency = frequency / self.weights.get("rope_freqs.weight")
        angles = np.outer(np.arange(length, dtype=np.float64), frequency)[:, None, :]
        return np.cos(angles), np.sin(angles)


def open_weights(path: Path) -> Weights:
    """The weights at `path`: a GGUF file, or a Hugging Face folder. Errors as in their classes."""
    return SafetensorsWeights(path) if path.is_dir() else GgufWeights(path)


def reference_logits(path: Path, input_ids: NDArray[np.integer[Any]]) -> Array:
    """Logits (L, V), float64, of the model at `path` (GGUF file or Hugging Face folder) for `input_ids` (L,).

    Raises UsageError for another architecture, or a feature that is not computed (rotary positions scaled otherwise
    than Llama 3 does, experts, windows in some layers only); MissingInputsError for a file that is not whole.
    """
    return Reference(open_weights(path)).logits(input_ids)
