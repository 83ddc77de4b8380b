"""What a model says of itself, read and written: name, author, licence, base model, data sets.

In a folder it stands in config.json (`provenance`), in the metadata of each safetensors file and, once there is one, in
the front matter of the card; in a GGUF file under `general.*`, where llama.cpp and the hub look. A converter takes it
from the one to the other.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
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
_CARD = "README.md"
# What puts a file's new content at a path.
_Write = Callable[[Path], object]
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
    return _card_parts(folder)[1]


def _card_parts(folder: Path) -> tuple[str, dict[str, Any], str]:
    """What stands before the YAML of a card, what it says, and what follows; where there is none, all follows."""
    card = folder / _CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    before, opening, rest = text.partition("---\n")
    head, closing, body = rest.partition("\n---")
    try:
        found = yaml.safe_load(head) if opening and closing else None
    except yaml.YAMLError:
        found = None
    return (before + opening, found, closing + body) if isinstance(found, dict) else ("", {}, text)


def stamp_model(path: Path, fields: Mapping[str, str], *, force: bool = False) -> dict[str, str]:
    """Write `fields` into the folder or GGUF file at `path`, read them back and return what it states now.

    A card is changed where it states one of them otherwise, for it counts first. The weights keep every bit, and the
    model's digest becomes another: stamp it before it is judged. There must be room for all of it a second time.
    Raises UsageError for no field, an unknown one, one that says nothing, and without `force` for one that is stated
    otherwise already; what `open_stored` raises; UnwritableError for a full disk, with the model as it was.
    """
    stored = open_stored(path)
    _check(stored, fields, force=force)
    with writing(path):
        _replace({path: _stamp_gguf(path, fields)} if stored.format == "gguf" else _stamp_folder(path, fields))
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


def _stamp_folder(folder: Path, fields: Mapping[str, str]) -> dict[Path, _Write]:
    writes = {file: _stamp_safetensors(file, fields) for file in sorted(folder.glob("*.safetensors"))}
    writes[folder / CONFIG] = _stamp_config(folder / CONFIG, fields)
    if any(fields.get(field, stated) != stated for field, stated in front_matter(folder).items()):
        writes[folder / _CARD] = _stamp_card(folder, fields)
    return writes


def _stamp_config(path: Path, fields: Mapping[str, str]) -> _Write:
    config = read_object(path)
    config[_PROVENANCE] = {**(config.get(_PROVENANCE) or {}), **fields}
    return lambda out: out.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _stamp_card(folder: Path, fields: Mapping[str, str]) -> _Write:
    """Another head of the card, and the same text below it."""
    before, head, after = _card_parts(folder)
    head |= {field: value for field, value in fields.items() if field in head}
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True).removesuffix("\n")
    return lambda out: out.write_text(before + text + after, "utf-8")


def _stamp_safetensors(path: Path, fields: Mapping[str, str]) -> _Write:
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

    return write


def _stamp_gguf(path: Path, fields: Mapping[str, str]) -> _Write:
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

    return write


def _copy_settings(reader: GGUFReader, writer: GGUFWriter, *, without: set[str]) -> None:
    for key, field in reader.fields.items():
        if key not in without and not key.startswith("GGUF."):
            kind = field.types[0]
            inside = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=inside)


def _replace(writes: Mapping[Path, _Write]) -> None:
    """Put every new content in the place of its file once all of it is written; nothing is left beside them."""
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in writes}
    try:
        for path, write in writes.items():
            write(drafts[path])
            drafts[path].chmod(0o644)
        for path, draft in drafts.items():
            draft.replace(path)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
