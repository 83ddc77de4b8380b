"""Writes a Hugging Face folder as one GGUF file: the metadata, then tensor after tensor."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

from refute.disk import writing
from refute.engines.export.gguf.architectures import in_llama_cpp_order, llama_cpp_name, write_sizes
from refute.engines.export.gguf.blocks import Numbers, to_blocks
from refute.engines.export.gguf.recipes import RECIPES, Stored, speaks_of, stored_as
from refute.engines.export.gguf.vocabulary import Vocabulary, read_vocabulary
from refute.engines.export.gguf.writer import Writer
from refute.engines.model.forward.hf_weights import SafetensorsWeights, read_config
from refute.engines.model.forward.weights import Shape
from refute.engines.model.tools.stamp import stated_fields, write_fields
from refute.engines.model.tools.stored import open_stored
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.publication import ExportLabel

_QUANTISATION_VERSION = 2  # of ggml's block formats
# A label that most of the weights do not follow would mislead whoever chooses a file by it.
_MOST_FALLBACK = 0.5


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written. Weights are counted, not tensors; `fallback` is the share of those that the label speaks
    of (no vectors, embedding or head) and whose rows no block of its format fits."""

    path: Path
    label: str
    architecture: str
    size: int
    parameters: int
    tensors: Mapping[str, int]
    fallback: float

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file a parameter."""
        return 8 * self.size / self.parameters


class ModelWeights(Protocol):
    """Float32 tensors by GGUF's names, and what they are tensors of."""

    @property
    def shape(self) -> Shape:
        """Sizes and constants."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tensors, the divisors of rotary frequencies among them; no head where it is tied."""
        ...

    def size(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, rows first."""
        ...

    def float32(self, name: str) -> Numbers:
        """A whole tensor."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A model that a file is made of. `name` is its own, for people; `config` is its config.json; `stated` is what it
    says of itself: licence, base model and the like."""

    name: str
    architecture: str
    config: Mapping[str, Any]
    weights: ModelWeights
    vocabulary: Vocabulary
    stated: Mapping[str, str]


def read_source(folder: Path) -> Source:
    """The model in `folder`. Raises UsageError for another architecture, tokenizer or feature than are known,
    MissingInputsError for a damaged folder."""
    config = read_config(folder)
    architecture = llama_cpp_name(config, folder)
    weights = SafetensorsWeights(folder)
    vocabulary = read_vocabulary(folder, weights.shape.vocab_rows)
    stated = stated_fields(open_stored(folder))
    return Source(stated.get("name", folder.resolve().name), architecture, config, weights, vocabulary, stated)


def export_gguf(source: Source, target: Path, label: ExportLabel, report: ProgressCallback) -> Exported:
    """Write `source` to `target`, whole or not at all; one tensor at a time is in memory.

    Raises UsageError for a label that most weights cannot follow, NonFiniteError for NaN and what a format cannot hold,
    and as `writing` where the disk refuses.
    """
    weights = source.weights
    layout = _lay_out(weights, label)
    fallback = _fallback_share(weights, layout)
    _refuse_misleading(source.name, label, fallback)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with writing(target):
            writer = Writer(draft, source.architecture)
            _describe(writer, source.name, label)
            write_fields(writer, {field: value for field, value in source.stated.items() if field != "name"})
            write_sizes(writer, weights.shape, source.config)
            source.vocabulary.write(writer)
            _write(writer, weights, layout, report)
            _settle(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(
        path=target,
        label=label.value,
        architecture=source.architecture,
        size=target.stat().st_size,
        parameters=sum(math.prod(weights.size(name)) for name in layout if name != "rope_freqs.weight"),
        tensors=_by_kind(layout),
        fallback=fallback,
    )


def _lay_out(weights: ModelWeights, label: ExportLabel) -> dict[str, Stored]:
    """Tensors in the order of the computation, and how each is stored."""
    layers = weights.shape.layers
    names = sorted(weights.names, key=_place)
    return {name: stored_as(name, weights.size(name), label, layers=layers) for name in names}


def _place(name: str) -> tuple[int, int, str]:
    """Embedding, layers by number, norm and head."""
    if name.startswith("blk."):
        return 1, int(name.split(".")[1]), name
    return (2 if name.startswith("output") else 0), 0, name


def _fallback_share(weights: ModelWeights, layout: Mapping[str, Stored]) -> float:
    """The share of the weights that a label speaks of which are stored in another format than it says."""
    spoken_of = {name: math.prod(weights.size(name)) for name in layout if speaks_of(name, weights.size(name))}
    return sum(count for name, count in spoken_of.items() if layout[name].fell_back) / sum(spoken_of.values())


def _refuse_misleading(name: str, label: ExportLabel, fallback: float) -> None:
    if fallback > _MOST_FALLBACK:
        blocks = GGML_QUANT_SIZES[RECIPES[label].matrices][0]
        raise UsageError(
            f"{name} as {label.value}: {fallback:.0%} of its weights would be stored in larger formats, for their "
            f"rows cannot be cut into blocks of {blocks}: the file would be larger than its label says",
            hint="choose Q8_0 or Q4_0, whose blocks are of 32",
        )


def _describe(writer: GGUFWriter, name: str, label: ExportLabel) -> None:
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(RECIPES[label].file_type)
    writer.add_quantization_version(_QUANTISATION_VERSION)


def _write(writer: GGUFWriter, weights: ModelWeights, layout: Mapping[str, Stored], report: ProgressCallback) -> None:
    for name, stored in layout.items():
        writer.add_tensor_info(name, *_announced(weights.size(name), stored.kind), raw_dtype=stored.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, (name, stored) in enumerate(layout.items(), start=1):
            numbers = in_llama_cpp_order(name, weights.float32(name), weights.shape)
            writer.write_tensor_data(to_blocks(name, numbers, stored.kind))
            report("write tensors", done, len(layout), {})
    finally:
        writer.close()


def _announced(size: tuple[int, ...], kind: GGMLQuantizationType) -> tuple[tuple[int, ...], Any, int]:
    """Shape, dtype and bytes of a tensor that is still to be written, as `add_tensor_info` takes them."""
    numbers, taken = GGML_QUANT_SIZES[kind]
    stored_bytes = math.prod(size) // numbers * taken
    return size, np.dtype(np.float32), stored_bytes


def _settle(draft: Path, target: Path) -> None:
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.chmod(0o644)
    draft.replace(target)


def _by_kind(layout: Mapping[str, Stored]) -> dict[str, int]:
    kinds = [stored.kind.name for stored in layout.values()]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
