"""A model as its files state it: settings and tensors by name, from headers alone; no weight is read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFValueType

from refute.engines.model.forward.hf_weights import read_config
from refute.engines.model.gguf import metadata, open_gguf
from refute.engines.model.tools.file_kind import file_kind, refuse_code
from refute.errors import UnreadableInputError

INDEX = "model.safetensors.index.json"
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_BYTES |= {"U8": 1, "BOOL": 1, "U16": 2, "U32": 4, "U64": 8}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: how it is stored, its shape with the slowest axis first, where it lies."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A folder or GGUF file: `format` is `hf` or `gguf`; `settings`: config.json, or metadata but its lists."""

    path: Path
    format: str
    settings: dict[str, Any]
    tensors: dict[str, Tensor]

    def json(self, name: str) -> dict[str, Any]:
        """A small JSON file of the folder; of a GGUF file, or where it is absent, nothing."""
        return read_object(self.path / name) if self.format == "hf" and (self.path / name).is_file() else {}

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding, by what the files say."""
        return (
            bool(self.settings.get("tie_word_embeddings", False))
            if self.format == "hf"
            else "output.weight" not in self.tensors
        )

    @property
    def parameters(self) -> int:
        """Parameters, a tied head once."""
        return sum(
            tensor.numbers
            for name, tensor in self.tensors.items()
            if not (self.format == "hf" and self.tied and name == "lm_head.weight")
        )

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """How many numbers are stored in which way, the most first."""
        found: dict[str, int] = {}
        for tensor in self.tensors.values():
            found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.numbers
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def architecture(self) -> str:
        """The family, such as `llama`; empty where nothing says it."""
        return str(self.settings.get("model_type" if self.format == "hf" else "general.architecture", ""))

    def number(self, hf: str, gguf: str) -> int | None:
        """A size by its name in config.json, or below the architecture in a GGUF file; None where it is not stated."""
        found = self.settings.get(hf if self.format == "hf" else f"{self.architecture}.{gguf}")
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def open_stored(path: Path) -> StoredModel:
    """The model at `path`: a Hugging Face folder or a GGUF file.

    Raises UnreadableInputError for what is neither, is cut short, or is a pickle under whatever name, and
    MissingInputsError for a GGUF file that is not whole.
    """
    if path.is_dir():
        return StoredModel(path, "hf", read_config(path), folder_tensors(path))
    if not path.is_file():
        raise UnreadableInputError(f"there is no model at {path}", hint="name a model folder or a GGUF file")
    refuse_code(path)
    if file_kind(path) == "gguf":
        return _open_gguf_file(path)
    raise UnreadableInputError(
        f"{path} is no model: a {file_kind(path)} file, expected a folder or a GGUF file",
        hint="name the folder that holds config.json, or a .gguf file",
    )


def _open_gguf_file(path: Path) -> StoredModel:
    reader = open_gguf(path)
    # Lists of 49,152 tokens take seconds to decode, and nobody asks for them here.
    plain = [key for key, field in reader.fields.items() if field.types[:1] != [GGUFValueType.ARRAY]]
    settings = {key: metadata(reader, key) for key in plain if not key.startswith("GGUF.")}
    tensors = {
        each.name: Tensor(
            each.tensor_type.name,
            tuple(int(size) for size in reversed(each.shape)),
            path,
            int(each.data_offset),
            int(each.n_bytes),
        )
        for each in reader.tensors
    }
    return StoredModel(path, "gguf", settings, tensors)


def folder_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of every safetensors file in `folder`. Raises UnreadableInputError also for none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UnreadableInputError(f"{folder} holds no safetensors", hint="name a model folder or a GGUF file")
    return {name: tensor for file in files for name, tensor in file_tensors(file).items()}


def file_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, from its header (u64 length, JSON, numbers).

    Raises UnreadableInputError for what is no whole safetensors file: also a pickle or LFS pointer of that name.
    """
    refuse_code(file)
    kind = file_kind(file)
    if kind != "safetensors":
        hint = "`git lfs pull`, or fetch it with `hf download`" if kind == "lfs pointer" else "fetch the file again"
        raise UnreadableInputError(f"{file} is no safetensors file but {kind}", hint=hint)
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        text = stream.read(start - 8)
    try:
        header = {name: entry for name, entry in json.loads(text).items() if name != "__metadata__"}
        found = {name: _tensor(file, start, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableInputError(
            f"{file}: its header is damaged: {type(error).__name__}: {error}", hint="fetch the file again"
        ) from error
    end = max((each.offset + each.size for each in found.values()), default=start)
    if end != size or sum(each.size for each in found.values()) != end - start:
        raise UnreadableInputError(
            f"{file} holds {size} bytes, its header describes {end}", hint="it is cut short or damaged: fetch it again"
        )
    return found


def _tensor(file: Path, start: int, entry: dict[str, Any]) -> Tensor:
    dtype, shape, (first, last) = entry["dtype"], tuple(map(int, entry["shape"])), entry["data_offsets"]
    if dtype not in _BYTES or math.prod(shape) * _BYTES[dtype] != last - first or first < 0:
        raise ValueError(f"{last - first} bytes for {dtype} of shape {list(shape)}")
    return Tensor(dtype, shape, file, start + first, last - first)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises UnreadableInputError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableInputError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableInputError(
            f"{path} holds {type(found).__name__}, expected a JSON object", hint="fetch the file again"
        )
    return found
