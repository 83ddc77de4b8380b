"""TensorBoard's event files: scalars by step, without TensorBoard.

Records are TFRecords (tensorflow.org/tutorials/load_data/tfrecord): a length of 8 bytes, its masked CRC-32C, the data,
and theirs. Each is an Event: `step` is field 2, `summary` field 5, whose values (1) have a tag (1) and a scalar, which
stands under `simple_value` (2) or as the one float of a tensor (8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from refute.engines.distill.records.protobuf import fields, parts
from refute.errors import ExperimentError

_STEP, _SUMMARY, _VALUE, _TAG, _SIMPLE, _TENSOR = 2, 5, 1, 1, 2, 8
_DTYPE, _CONTENT, _FLOATS, _FLOAT32 = 1, 4, 5, 1
_HINT = "name the folder of one run, or its one event file, as the trainer wrote it"

Entry = tuple[str, dict[str, object]]


def read_events(path: Path) -> Iterator[Entry]:
    """The scalars of each step, with their place: of one file, or of all event files in a folder, the oldest first.

    Raises ExperimentError for a file that is torn or changed, and for a scalar that a step has twice.
    """
    files = sorted(path.glob("*tfevents*")) if path.is_dir() else [path]
    if not files:
        raise ExperimentError(f"{path.name} holds no event file", hint=_HINT)
    for file in files:
        yield from _steps(file)


def _steps(path: Path) -> Iterator[Entry]:
    entries: dict[int, dict[str, object]] = {}
    for number, event in enumerate(_records(path.read_bytes(), path.name)):
        where = f"{path.name}: event {number}"
        step, scalars = _scalars(event, where)
        entry = entries.setdefault(step, {"step": step})
        if twice := sorted(scalars.keys() & entry.keys()):
            raise ExperimentError(f"{where}: {twice[0]} of step {step} stands there twice", hint=_HINT)
        entry |= scalars
    for step, entry in entries.items():
        yield f"{path.name}: step {step}", entry


def _records(data: bytes, name: str) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        head = data[place : place + 12]
        size = int.from_bytes(head[:8], "little")
        body = data[place + 12 : place + 12 + size]
        ends = data[place + 12 + size : place + 16 + size]
        if len(head) < 12 or len(ends) < 4 or head[8:] != _checksum(head[:8]) or ends != _checksum(body):
            raise ExperimentError(f"{name} is torn, changed or no event file, from byte {place} on", hint=_HINT)
        yield body
        place += 16 + size


def _scalars(event: bytes, where: str) -> tuple[int, dict[str, object]]:
    step, scalars = 0, dict[str, object]()
    for number, value in fields(event, where):
        if number == _STEP and isinstance(value, int):
            step = value
        elif number == _SUMMARY and isinstance(value, bytes):
            for each in parts(value, _VALUE, where):
                scalars |= _scalar(each, where)
    return step, scalars


def _scalar(value: bytes, where: str) -> dict[str, object]:
    """One tag with its number; nothing of histograms, texts and images."""
    found = dict(fields(value, where))
    tag, simple, tensor = found.get(_TAG), found.get(_SIMPLE), found.get(_TENSOR)
    if isinstance(tensor, bytes):
        content = dict(fields(tensor, where))
        simple = content.get(_FLOATS) or content.get(_CONTENT) if content.get(_DTYPE) == _FLOAT32 else None
    if not isinstance(tag, bytes) or not isinstance(simple, bytes) or len(simple) != 4:
        return {}
    return {tag.decode("utf-8", "replace"): struct.unpack("<f", simple)[0]}


def _table() -> tuple[int, ...]:
    """CRC-32C by byte (Castagnoli's polynomial, reflected)."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)


_CRC = _table()


def _checksum(data: bytes) -> bytes:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")
