"""What a model says of itself, read and written: name, author, licence, base model, data sets.

In a folder it stands in config.json (`provenance`), in the metadata of each safetensors file and, once there is one, in
the front matter of the card; in a GGUF file under `general.*`, where llama.cpp and the hub look. A converter takes it
from the one to the other.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from refute.disk import writing
from refute.engines.model.generations.portable import CONFIG
from refute.engines.model.gguf import metadata, open_gguf
from refute.engines.model.tools.stored import StoredModel, file_tensors, open_stored, read_object
from refute.errors import UsageError

# By field, where a GGUF file has it.
GGUF_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "name": "general.name",
        "author": "general.author",
        "license": "general.license",
        "base_model": "general.base_model.0.name",
        "datasets": "general.dataset.0.name",
    }
)
_COUNTS = MappingProxyType({"base_model": "general.base_model.count", "datasets": "general.dataset.count"})
_PROVENANCE = "provenance"
_SAYS_NOTHING = frozenset({"", "unknown", "proprietary", "tbd", "none"})


def stated(stored: StoredModel, field: str) -> str | None:
    """What a model states under `field`; of a folder the card counts before config.json. None where it says nothing."""
    if stored.format == "gguf":
        found = stored.settings.get(GGUF_KEYS[field])
    else:
        found = front_matter(stored.path).get(field) or (stored.settings.get(_PROVENANCE) or {}).get(field)
    if isinstance(found, list):
        found = ", ".join(map(str, found))
    return str(found) if found else None


def front_matter(folder: Path) -> dict[str, Any]:
    """The YAML at the head of a card; empty where there is none."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    _, opening, rest = text.partition("---\n")
    head, closing, _ = rest.partition("\n---")
    if not opening or not closing:
        return {}
    try:
        found = yaml.safe_load(head)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def stamp_model(path: Path, fields: Mapping[str, str], *, force: bool = False) -> dict[str, str]:
    """Write `fields` into the folder or GGUF file at `path`, read them back and return what it states now.

    The weights keep every bit, and the model's digest becomes another: stamp it before it is judged. Raises UsageError
    for no field, an unknown one, one that says nothing, and without `force` for one that is stated otherwise already;
    what `open_stored` raises; UnwritableError for a full disk, with the model as it was.
    """
    stored = open_stored(path)
    _check(stored, fields, force=force)
    with writing(path):
        if stored.format == "gguf":
            _stamp_gguf(path, fields)
        else:
            for file in sorted(path.glob("*.safetensors")):
                _stamp_safetensors(file, fields)
            _stamp_config(path / CONFIG, fields)
    return stated_fields(open_stored(path))


def stated_fields(stored: StoredModel) -> dict[str, str]:
    """Everything that a model states of itself, by field."""
    return {field: found for field in GGUF_KEYS if (found := stated(stored, field)) is not None}


def write_fields(writer: GGUFWriter, fields: Mapping[str, str]) -> None:
    """Put `fields` into the metadata of a GGUF file that is being written, with the counts that its lists need."""
    for field, value in fields.items():
        writer.add_string(GGUF_KEYS[field], value)
        if field in _COUNTS:
            writer.add_uint32(_COUNTS[field], 1)


def _check(stored: StoredModel, fields: Mapping[str, str], *, force: bool) -> None:
    unknown = sorted(fields.keys() - GGUF_KEYS.keys())
    if not fields or unknown:
        raise UsageError(
            f"no such field: {', '.join(unknown)}" if unknown else "nothing to stamp: no field is given",
            hint=f"give one of {', '.join(GGUF_KEYS)}",
        )
    for field, value in fields.items():
        if value.strip().lower() in _SAYS_NOTHING:
            raise UsageError(f"{field}: {value!r} says nothing", hint="leave it out, or say it")
        before = stated(stored, field)
        if before not in (None, value) and not force:
            raise UsageError(f"{stored.path} states {field} = {before!r} already", hint="give --force to replace it")


def _stamp_config(path: Path, fields: Mapping[str, str]) -> None:
    config = read_object(path)
    config[_PROVENANCE] = {**(config.get(_PROVENANCE) or {}), **fields}
    _replace(path, lambda out: out.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8"))


def _stamp_safetensors(path: Path, fields: Mapping[str, str]) -> None:
    """Another header before the same bytes."""
    file_tensors(path)  # which refuses what is damaged
    with path.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(start - 8))
    header["__metadata__"] = {**(header.get("__metadata__") or {"format": "pt"}), **fields}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(out: Path) -> None:
        with path.open("rb") as source, out.open("wb") as target:
            source.seek(start)
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target, 1 << 20)

    _replace(path, write)


def _stamp_gguf(path: Path, fields: Mapping[str, str]) -> None:
    reader = open_gguf(path)
    architecture = str(metadata(reader, "general.architecture"))

    def write(out: Path) -> None:
        writer = GGUFWriter(out, architecture, endianess=reader.endianess)
        replaced = {GGUF_KEYS[field] for field in fields} | {_COUNTS[field] for field in fields if field in _COUNTS}
        _copy_settings(reader, writer, without=replaced | {"general.architecture"})
        write_fields(writer, fields)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_shape=tensor.data.shape, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    _replace(path, write)


def _copy_settings(reader: GGUFReader, writer: GGUFWriter, *, without: set[str]) -> None:
    for key, field in reader.fields.items():
        if key not in without and not key.startswith("GGUF."):
            kind = field.types[0]
            inside = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=inside)


def _replace(path: Path, write: Any) -> None:
    """Put what `write` writes in the place of `path`, whole or not at all; nothing is left beside it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(staged)
        staged.chmod(0o644)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
