"""What llama.cpp needs to know of an architecture: its name there, its sizes, and the order of q's and k's rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter

from refute.engines.export.gguf.blocks import Numbers
from refute.engines.model.forward.weights import Shape
from refute.errors import MissingInputsError, UsageError

# Mistral is Llama to llama.cpp, which has no windows for it.
LLAMA_CPP_NAMES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_PERMUTED = ("attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias")


def llama_cpp_name(config: Mapping[str, Any], folder: Path) -> str:
    """llama.cpp's name of the architecture. Raises UsageError for one that is not written here."""
    found = config.get("model_type")
    if found not in LLAMA_CPP_NAMES:
        raise UsageError(
            f"{folder}: GGUF files are written of {', '.join(LLAMA_CPP_NAMES)}, and this is {found!r}",
            hint="convert this model with llama.cpp's own convert_hf_to_gguf.py",
        )
    return LLAMA_CPP_NAMES[found]


def write_sizes(writer: GGUFWriter, shape: Shape, config: Mapping[str, Any]) -> None:
    """Put the sizes and constants of a decoder into the metadata of a file."""
    writer.add_block_count(shape.layers)
    writer.add_context_length(_context(shape, config))
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(_positive("intermediate_size", config))
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.rotary_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocab_rows)


def is_permuted(name: str, shape: Shape) -> bool:
    """Whether llama.cpp wants the rows of this tensor in another order than transformers."""
    return LLAMA_CPP_NAMES[shape.architecture] == "llama" and name.endswith(_PERMUTED)


def in_llama_cpp_order(name: str, numbers: Numbers, shape: Shape) -> Numbers:
    """`numbers` with the rows of q and k in the order in which llama.cpp turns them.

    transformers pairs row i of a head with row i + d/2, llama.cpp's kernel for `llama` neighbours; qwen's is told to
    pair as transformers does. Biases are turned likewise.
    """
    if not is_permuted(name, shape):
        return numbers
    heads = shape.heads if ".attn_q." in name else shape.kv_heads
    return numbers.reshape(heads, 2, -1, *numbers.shape[1:]).swapaxes(1, 2).reshape(numbers.shape)


def _context(shape: Shape, config: Mapping[str, Any]) -> int:
    """Positions that the model was made for: no more than its window, beyond which llama.cpp would look."""
    return min(_positive("max_position_embeddings", config), shape.window or 1 << 40)


def _positive(name: str, config: Mapping[str, Any]) -> int:
    found = config.get(name)
    if not isinstance(found, int) or found <= 0:
        raise MissingInputsError(
            f"config.json says {name}: {found!r}, expected a positive number",
            hint="point at a folder written by save_pretrained",
        )
    return found
