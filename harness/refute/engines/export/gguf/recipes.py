"""In which block format each tensor of a GGUF file is stored, for each label that such files are published under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from refute.spec.publication import ExportLabel

# Tensors that every token passes through and that quantisation hurts most: the embedding, and the head.
_VOCABULARY_WIDE = frozenset({"token_embd.weight", "output.weight"})
# Where rows cannot be cut into blocks of 256 (or of 32), llama.cpp's quantiser stores the next larger format that fits.
_FALLBACK = {
    GGMLQuantizationType.Q4_K: GGMLQuantizationType.Q5_0,
    GGMLQuantizationType.Q5_K: GGMLQuantizationType.Q5_1,
    GGMLQuantizationType.Q6_K: GGMLQuantizationType.Q8_0,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Formats of one label: of most matrices, of the vocabulary-wide ones, and of those that get `more` bits.

    `more` is for the value and down projections of the outer layers and every third between, as in llama.cpp's
    K-quants of size M. Vectors are always F32.
    """

    file_type: LlamaFileType
    matrices: GGMLQuantizationType
    vocabulary: GGMLQuantizationType
    more: GGMLQuantizationType


def _plain(
    file_type: LlamaFileType, kind: GGMLQuantizationType, vocabulary: GGMLQuantizationType | None = None
) -> Recipe:
    return Recipe(file_type, kind, vocabulary or kind, kind)


_T, _F = GGMLQuantizationType, LlamaFileType
RECIPES = {
    ExportLabel.F32: _plain(_F.ALL_F32, _T.F32),
    ExportLabel.F16: _plain(_F.MOSTLY_F16, _T.F16),
    ExportLabel.BF16: _plain(_F.MOSTLY_BF16, _T.BF16),
    ExportLabel.Q8_0: _plain(_F.MOSTLY_Q8_0, _T.Q8_0),
    # In four bits an embedding alone costs SmolLM2-135M a fifth of its remaining quality, for 14 of 92 MB.
    ExportLabel.Q4_0: _plain(_F.MOSTLY_Q4_0, _T.Q4_0, _T.Q8_0),
    ExportLabel.Q4_K_M: Recipe(_F.MOSTLY_Q4_K_M, _T.Q4_K, _T.Q6_K, _T.Q6_K),
    ExportLabel.Q5_K_M: Recipe(_F.MOSTLY_Q5_K_M, _T.Q5_K, _T.Q6_K, _T.Q6_K),
    ExportLabel.Q6_K: _plain(_F.MOSTLY_Q6_K, _T.Q6_K),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """How one tensor is stored, and what its label had asked for."""

    kind: GGMLQuantizationType
    wanted: GGMLQuantizationType

    @property
    def fell_back(self) -> bool:
        """Whether its rows could not be cut into the blocks of the format that was wanted."""
        return bool(self.kind != self.wanted)


def stored_as(name: str, shape: Sequence[int], label: ExportLabel, *, layers: int) -> Stored:
    """The format of the tensor `name` (GGUF's) of `shape`, rows first, in a model of so many layers."""
    wanted = GGMLQuantizationType.F32 if len(shape) == 1 else _wanted(name, RECIPES[label], layers)
    return Stored(_fitting(wanted, shape[-1]), wanted)


def speaks_of(name: str, shape: Sequence[int]) -> bool:
    """Whether a label speaks of this tensor: of a matrix that is neither the embedding nor the head."""
    return len(shape) > 1 and name not in _VOCABULARY_WIDE


def bits_per_weight(kind: GGMLQuantizationType) -> float:
    """Bits that one number takes in a block format, scales included."""
    numbers, size = GGML_QUANT_SIZES[kind]
    return 8.0 * float(size) / float(numbers)


def _wanted(name: str, recipe: Recipe, layers: int) -> GGMLQuantizationType:
    if name in _VOCABULARY_WIDE:
        return recipe.vocabulary
    is_sensitive = name.endswith(("attn_v.weight", "ffn_down.weight"))
    return recipe.more if is_sensitive and _has_more_bits(int(name.split(".")[1]), layers) else recipe.matrices


def _has_more_bits(layer: int, layers: int) -> bool:
    """As `use_more_bits` of llama.cpp: the first and last eighth, and every third layer between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _fitting(wanted: GGMLQuantizationType, row: int) -> GGMLQuantizationType:
    """`wanted`, or the next larger format whose blocks a row of so many numbers can be cut into."""
    while row % GGML_QUANT_SIZES[wanted][0]:
        wanted = _FALLBACK.get(wanted, GGMLQuantizationType.F16)
    return wanted
