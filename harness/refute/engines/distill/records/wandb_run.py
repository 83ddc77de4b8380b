"""An offline run of Weights & Biases: what was logged by step, without its package.

`run-<id>.wandb` begins with ":W&B", 0xBEE1 and a version; then come blocks of 32 KiB as LevelDB's log has them
(leveldb/doc/log_format.md): CRC-32 of type and data, a length, and whether the record is whole, or its first, middle or
last part. Each record is a message of `wandb_internal.proto`: `history` is field 2, whose items (1) have a key (1, or
2 in parts) and a value: JSON (16), an integer (5, zigzag) or a number (6); its step (2) has `num` (1).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from refute.engines.distill.records.protobuf import fields, parts
from refute.errors import ExperimentError

_HEAD, _BLOCK, _RECORD = b":W&B\xe1\xbe\x00", 32768, struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _ITEM, _STEP = 2, 1, 2
_KEY, _NESTED, _INTEGER, _NUMBER, _JSON = 1, 2, 5, 6, 16
_HINT = "name the folder of an offline run, `offline-run-…`, or its one .wandb file"

Entry = tuple[str, dict[str, object]]


def read_wandb(path: Path) -> Iterator[Entry]:
    """What was logged at each step, with its place. The trainer's own `train/global_step` is the step where it is
    there, W&B's own count elsewhere. Raises ExperimentError for a file that is torn, changed or of another kind."""
    files = sorted(path.glob("*.wandb")) if path.is_dir() else [path]
    if len(files) != 1:
        raise ExperimentError(f"{path.name} holds {len(files)} .wandb files, expected one", hint=_HINT)
    for number, record in enumerate(_records(files[0].read_bytes(), files[0].name)):
        where = f"{files[0].name}: record {number}"
        for history in parts(record, _HISTORY, where):
            entry = _logged(history, where)
            yield where, entry | {"step": entry.get("train/global_step", entry.get("step"))}


def _records(data: bytes, name: str) -> Iterator[bytes]:
    if data[: len(_HEAD)] != _HEAD:
        raise ExperimentError(f"{name} is no log of W&B of a version that is known", hint=_HINT)
    place, open_parts = len(_HEAD), list[bytes]()
    while place < len(data):
        left = _BLOCK - place % _BLOCK
        if left < _RECORD.size:
            place += left
            continue
        kind, body = _record(data, place, name)
        place += _RECORD.size + len(body)
        if (kind in (_WHOLE, _FIRST)) is bool(open_parts):
            raise ExperimentError(f"{name}: a record is in parts that do not fit, at byte {place}", hint=_HINT)
        open_parts.append(body)
        if kind in (_WHOLE, _LAST):
            yield b"".join(open_parts)
            open_parts = []
    if open_parts:
        raise ExperimentError(f"{name} ends within a record: its run was killed, or the file cut", hint=_HINT)


def _record(data: bytes, place: int, name: str) -> tuple[int, bytes]:
    head = data[place : place + _RECORD.size]
    if len(head) == _RECORD.size:
        checksum, size, kind = _RECORD.unpack(head)
        body = data[place + _RECORD.size : place + _RECORD.size + size]
        whole = len(body) == size and kind in (_WHOLE, _FIRST, _MIDDLE, _LAST)
        if whole and zlib.crc32(body, zlib.crc32(bytes([kind]))) == checksum:
            return kind, body
    raise ExperimentError(f"{name} is torn or changed, from byte {place} on", hint=_HINT)


def _logged(history: bytes, where: str) -> dict[str, object]:
    entry: dict[str, object] = {}
    for number, value in fields(history, where):
        if number == _STEP and isinstance(value, bytes):
            entry["step"] = dict(fields(value, where)).get(1, 0)
        elif number == _ITEM and isinstance(value, bytes):
            entry |= _item(value, where)
    return entry


def _item(item: bytes, where: str) -> dict[str, object]:
    found = dict(fields(item, where))
    key = found.get(_KEY) or b".".join(parts(item, _NESTED, where))
    name = key.decode("utf-8", "replace") if isinstance(key, bytes) else ""
    integer, number, text = found.get(_INTEGER), found.get(_NUMBER), found.get(_JSON)
    if isinstance(integer, int):
        return {name: integer >> 1 ^ -(integer & 1)}
    if isinstance(number, bytes):
        return {name: struct.unpack("<d", number)[0]}
    if not isinstance(text, bytes):
        return {}
    try:
        return {name: json.loads(text)}
    except ValueError as error:
        raise ExperimentError(f"{where}: {name} is no JSON: {error}", hint=_HINT) from error
