"""Weights of no account under a vocabulary that counts: a file of a few megabytes by which its tokens are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refute.engines.export.gguf.blocks import Numbers
from refute.engines.export.gguf.file import Source
from refute.engines.model.forward.weights import Shape

_WIDTH = 32


@dataclass(frozen=True, slots=True)
class _SmallWeights:
    """One layer of a llama, all its numbers alike."""

    shape: Shape

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_sizes(self.shape.vocab_rows))

    def size(self, name: str) -> tuple[int, ...]:
        return _sizes(self.shape.vocab_rows)[name]

    def float32(self, name: str) -> Numbers:
        return np.full(self.size(name), 0.01, dtype=np.float32)


def with_small_weights(source: Source) -> Source:
    """`source` with its vocabulary and other weights."""
    shape = replace(
        source.weights.shape,
        architecture="llama",
        layers=1,
        hidden_size=_WIDTH,
        heads=1,
        kv_heads=1,
        head_dim=_WIDTH,
        rotary_dim=_WIDTH,
        window=None,
    )
    config = {**source.config, "intermediate_size": _WIDTH}
    return replace(source, architecture="llama", config=config, weights=_SmallWeights(shape))


def _sizes(rows: int) -> dict[str, tuple[int, ...]]:
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    return {
        "token_embd.weight": (rows, _WIDTH),
        **{f"blk.0.{name}.weight": (_WIDTH, _WIDTH) for name in matrices},
        **dict.fromkeys(("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"), (_WIDTH,)),
    }
