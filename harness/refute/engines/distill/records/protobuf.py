"""The fields of a protobuf message, without its schema (protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

from collections.abc import Iterator

from refute.errors import ExperimentError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
# Of a number of 64 bits.
_LONGEST = 10


def fields(message: bytes, where: str) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field in turn; fixed-width and length-delimited values are bytes.

    Raises ExperimentError, which names `where`, for what is no message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place, where)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place, where)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place, where)
        elif kind in _WIDTH:
            size = _WIDTH[kind]
        else:
            raise _foreign(where, f"wire type {kind}")
        if place + size > len(message):
            raise _foreign(where, "a field that is longer than its message")
        yield number, message[place : place + size]
        place += size


def parts(message: bytes, number: int, where: str) -> Iterator[bytes]:
    """The values of one length-delimited field. Raises as `fields`."""
    for found, value in fields(message, where):
        if found == number and isinstance(value, bytes):
            yield value


def _varint(message: bytes, place: int, where: str) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(message[place : place + _LONGEST]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise _foreign(where, "a number without an end")


def _foreign(where: str, found: str) -> ExperimentError:
    return ExperimentError(f"{where} is no protobuf message: {found}", hint="name the file as the trainer wrote it")
