"""What the independent forward needs to know about a model, whichever file format it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refute.errors import UsageError

Array = NDArray[np.float64]
Rows = slice | NDArray[np.integer[Any]]
EVERY_ROW = slice(None)
KNOWN_ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
_GLOBAL = re.compile(r"(token_embd|output_norm|output|rope_freqs)\.weight")

_LAYER = re.compile(
    r"blk\.(\d+)\.((attn_norm|ffn_norm)\.weight|(attn_(q|k|v|output)|ffn_(gate|up|down))\.(weight|bias)"
    r"|(?P<head_norm>attn_(q|k)_norm)\.weight)"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes and constants of a decoder.

    `interleaved`: rotary pairs are neighbours (2i, 2i + 1), not half a head apart (i, i + rotary_dim / 2).
    `window`: how many positions each one attends to, itself included; None for all before it.
    """

    architecture: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    rope_base: float
    norm_epsilon: float
    vocab_rows: int
    interleaved: bool
    window: int | None = None

    @property
    def norms_heads(self) -> bool:
        """Whether queries and keys are normalised head by head before they turn (Qwen3, arXiv:2505.09388)."""
        return self.architecture == "qwen3"


class Weights(Protocol):
    """Tensors by their GGUF names ("Standardized tensor names" of the GGUF specification), as float64."""

    @property
    def shape(self) -> Shape:
        """Sizes and constants."""
        ...

    def has(self, name: str) -> bool:
        """Whether the tensor exists."""
        ...

    def get(self, name: str, rows: Rows = EVERY_ROW) -> Array:
        """A tensor, or some of its rows, which are picked before anything is converted."""
        ...


def check_architecture(path: Path, found: object) -> str:
    """The architecture, if the forward knows it. Raises UsageError naming it and the known ones."""
    if not isinstance(found, str) or found not in KNOWN_ARCHITECTURES:
        raise UsageError(
            f"{path}: the independent forward does not know architecture {found!r}, "
            f"only {', '.join(KNOWN_ARCHITECTURES)}",
            hint="choose a teacher of a known architecture, or add its forward to refute.engines.model.forward",
        )
    return found


def refuse(path: Path, feature: str) -> UsageError:
    """The error for a model that computes something which this forward does not."""
    return UsageError(
        f"{path}: the independent forward does not compute {feature}",
        hint="its logits would differ from the model's for a reason that is not the provider's",
    )


def check_tensor_names(path: Path, names: Iterable[str], shape: Shape) -> None:
    """Raise UsageError for a tensor that the forward would leave out (experts, extra norms, extra layers)."""
    for name in sorted(names):
        layer = _LAYER.fullmatch(name)
        computed = layer and int(layer[1]) < shape.layers and (shape.norms_heads or not layer["head_norm"])
        if not computed and not _GLOBAL.fullmatch(name):
            raise refuse(path, f"with tensor {name!r}")
