"""gguf's writer, whose lists go into the metadata in one piece each: a vocabulary has three of tens of thousands."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from gguf import GGUFEndian, GGUFValueType, GGUFWriter

_LENGTH = struct.Struct("<Q")


class Writer(GGUFWriter):  # type: ignore[misc]  # gguf ships no types
    """As its base writes every file, to the byte; that packs each item of a list by four calls of its own."""

    def _pack_val(self, val: Any, vtype: Any, add_vtype: bool, sub_type: Any = None) -> bytes:
        items = None
        if vtype is GGUFValueType.ARRAY and sub_type is None and self.endianess is GGUFEndian.LITTLE:
            items = _packed(val)
        if items is None:
            return bytes(super()._pack_val(val, vtype, add_vtype, sub_type))
        kind, body = items
        head = struct.pack("<II", vtype, kind) if add_vtype else struct.pack("<I", kind)
        return head + _LENGTH.pack(len(val)) + body


def _packed(items: Any) -> tuple[int, bytes] | None:
    """The type of a list of texts or whole numbers and its items, as a file has them; None for any other list."""
    kinds = set(map(type, items))
    if kinds == {str}:
        texts = [text.encode("utf-8") for text in items]
        return GGUFValueType.STRING, b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    if kinds == {int} and np.iinfo(np.int32).min <= min(items) <= max(items) <= np.iinfo(np.int32).max:
        return GGUFValueType.INT32, np.array(items, dtype="<i4").tobytes()
    return None
