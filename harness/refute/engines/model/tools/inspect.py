"""What a model is, by its files alone: sizes, formats, tokenizer, licence, digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refute.attest.model_manifest import hash_model
from refute.engines.model.tools.stamp import stated
from refute.engines.model.tools.stored import open_stored


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts of a model; what its files do not state is None. Sizes in bytes."""

    path: str
    format: str
    architecture: str
    parameters: int
    tensors: int
    size: int
    dtypes: dict[str, int]
    layers: int | None
    hidden_size: int | None
    heads: int | None
    kv_heads: int | None
    vocabulary: int | None
    context: int | None
    tied: bool
    license: str | None
    root_digest: str
    manifest_digest: str


_SIZES = {
    "layers": ("num_hidden_layers", "block_count"),
    "hidden_size": ("hidden_size", "embedding_length"),
    "heads": ("num_attention_heads", "attention.head_count"),
    "kv_heads": ("num_key_value_heads", "attention.head_count_kv"),
    "vocabulary": ("vocab_size", "vocab_size"),
    "context": ("max_position_embeddings", "context_length"),
}


def inspect_model(path: Path) -> Inspection:
    """The facts of the folder or GGUF file at `path`, hashed once. Raises as `open_stored` and `hash_model` do."""
    stored, manifest = open_stored(path), hash_model(path)
    return Inspection(
        path=str(path),
        format=stored.format,
        architecture=stored.architecture,
        parameters=stored.parameters,
        tensors=len(stored.tensors),
        size=stored.size,
        dtypes=stored.dtypes,
        tied=stored.tied,
        license=stated(stored, "license"),
        root_digest=manifest.root_digest,
        manifest_digest=manifest.manifest_digest,
        **{name: stored.number(*names) for name, names in _SIZES.items()},
    )
