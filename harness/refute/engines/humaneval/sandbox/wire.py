"""Plain data over a socket: all that a judged program and its judge can say to each other.

Runs on both sides; the sandboxed side has it preloaded, so only light standard modules are
imported. A value is JSON with tags: null, booleans, strings, small integers and finite floats stand for
themselves, everything else is `[tag, …]`. What is decoded has exactly a type of the standard library, whatever the
sender wrote, so an overridden `__eq__` or `__hash__` never reaches a comparison. An iterator is run to its end where it
was made, and arrives as one. Messages are frames of at most
`MAX_FRAME_BYTES`: four bytes of big-endian length, then ASCII.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 100
# An iterator without an end is found out after so many.
MAX_ITEMS = 1_000_000

# Beyond it integers travel in hexadecimal: Python limits decimal text to 4,300 digits, at quadratic cost.
_SMALL_INT = 2**63
_READ_BYTES = 1 << 16

_SEQUENCES: dict[str, Callable[[Iterable[object]], object]] = {
    "l": list,
    "t": tuple,
    "s": set,
    "z": frozenset,
    "g": iter,
}

_SPECIAL_FLOATS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


class WireError(Exception):
    """A value cannot travel, or what arrived is not a message."""


class ClosedError(WireError):
    """The other side is gone."""


def encode(value: object, depth: int = 0) -> object:
    """`value` as tagged JSON data. Subclasses of a known type are flattened with that type's own methods.

    Raises WireError for any other type, for an iterator of more than `MAX_ITEMS`, and for nesting (or cycles) deeper
    than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise WireError(f"nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        exact = int.__add__(value, 0)
        return exact if -_SMALL_INT < exact < _SMALL_INT else ["i", hex(exact)]
    if isinstance(value, float):
        text = float.__repr__(value)
        return ["f", text] if text in _SPECIAL_FLOATS else float(text)
    if isinstance(value, complex):
        exact_complex = complex.__add__(value, 0j) if type(value) is not complex else value
        return ["c", encode(exact_complex.real), encode(exact_complex.imag)]
    if isinstance(value, bytes):
        return ["b", bytes.hex(value)]
    if isinstance(value, bytearray):
        return ["y", bytearray.hex(value)]
    return _encode_container(value, depth + 1)


def _encode_container(value: object, depth: int) -> list[object]:
    if isinstance(value, dict):
        return ["d", *(encode(part, depth) for pair in dict.items(value) for part in pair)]
    if isinstance(value, list):
        return ["l", *(encode(item, depth) for item in list.__iter__(value))]
    if isinstance(value, tuple):
        return ["t", *(encode(item, depth) for item in tuple.__iter__(value))]
    if isinstance(value, set):
        return ["s", *(encode(item, depth) for item in set.__iter__(value))]
    if isinstance(value, frozenset):
        return ["z", *(encode(item, depth) for item in frozenset.__iter__(value))]
    if isinstance(value, range):
        return ["r", encode(value.start), encode(value.stop), encode(value.step)]
    if isinstance(value, Iterator):
        return ["g", *(encode(item, depth) for item in _to_the_end(value))]
    return _encode_number(value)


def _to_the_end(values: Iterator[object]) -> list[object]:
    found = list(islice(values, MAX_ITEMS + 1))
    if len(found) > MAX_ITEMS:
        raise WireError(f"an iterator of more than {MAX_ITEMS} values")
    return found


def _encode_number(value: object) -> list[object]:
    """A Decimal or Fraction; whoever made one has imported its module."""
    decimal, fractions = sys.modules.get("decimal"), sys.modules.get("fractions")
    if decimal is not None and isinstance(value, decimal.Decimal):
        return ["D", decimal.Decimal.__str__(value)]
    if fractions is not None and isinstance(value, fractions.Fraction):
        return ["F", *map(encode, fractions.Fraction.as_integer_ratio(value))]
    raise WireError(f"a value of type {type(value).__name__} is not plain data")


def decode(data: object, depth: int = 0) -> object:
    """The value that `encode` wrote, in exact types of the standard library. Raises WireError for anything else."""
    if depth > MAX_DEPTH:
        raise WireError(f"nested deeper than {MAX_DEPTH} levels")
    if data is None or isinstance(data, (bool, str, int, float)):
        return data
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise WireError("an untagged value")
    tag, parts = data[0], data[1:]
    try:
        if tag in _SEQUENCES:
            return _SEQUENCES[tag]([decode(part, depth + 1) for part in parts])
        if tag == "d" and len(parts) % 2 == 0:
            items = [decode(part, depth + 1) for part in parts]
            return dict(zip(items[::2], items[1::2], strict=True))
        return _decode_scalar(tag, parts)
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise WireError(f"a malformed {tag!r} value: {error}") from error


def _fraction(*parts: int) -> object:
    # Here, and not above: hardly any program needs it.
    from fractions import Fraction

    return Fraction(*parts)


_OF_INTEGERS: dict[str, Callable[..., object]] = {"r": range, "F": _fraction}


def _decode_scalar(tag: str, parts: list[object]) -> object:
    if tag == "c":
        real, imaginary = (decode(part) for part in parts)
        if isinstance(real, float) and isinstance(imaginary, float):
            return complex(real, imaginary)
    elif tag in _OF_INTEGERS:
        integers = [part for part in map(decode, parts) if isinstance(part, int)]
        if len(integers) == len(parts):
            return _OF_INTEGERS[tag](*integers)
    else:
        (text,) = parts
        if isinstance(text, str):
            if tag == "i":
                return int(text, 16)
            if tag == "f":
                return _SPECIAL_FLOATS[text]
            if tag == "b":
                return bytes.fromhex(text)
            if tag == "y":
                return bytearray.fromhex(text)
            if tag == "D":
                from decimal import Decimal

                return Decimal(text)
    raise WireError(f"an unknown or malformed {tag!r} value")


def take_over(own: object, found: object) -> object:
    """`own` with the content of `found`, in place as far as its types can be changed; `found` where they cannot."""
    if isinstance(own, list) and isinstance(found, list):
        own[:] = [*map(take_over, own, found), *found[len(own) :]]
    elif isinstance(own, dict) and isinstance(found, dict):
        kept = {key: take_over(own[key], value) if key in own else value for key, value in found.items()}
        own.clear()
        own.update(kept)
    elif isinstance(own, set) and isinstance(found, set):
        own.clear()
        own.update(found)
    elif isinstance(own, bytearray) and isinstance(found, bytearray):
        own[:] = found
    elif isinstance(own, tuple) and isinstance(found, tuple):
        return tuple(map(take_over, own, found))
    else:
        return found
    return own


# Made once: `json.dumps` and `json.loads` make one for each message that is not of their default form.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def pack(value: object) -> bytes:
    """One frame holding `value`. Raises WireError if it is not plain data or longer than a frame may be."""
    body = _ENCODER.encode(encode(value)).encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise WireError(f"{len(body)} bytes of data; at most {MAX_FRAME_BYTES} may be sent at once")
    return len(body).to_bytes(4, "big") + body


def unpack(body: bytes) -> object:
    """The value in a frame's body. Raises WireError for anything that `pack` would not have written."""
    try:
        return decode(_DECODER.decode(body.decode("ascii")))
    except (ValueError, RecursionError, MemoryError) as error:
        raise WireError(f"not a message: {error}") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} outside its tag")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class Channel:
    """Frames over one stream socket, given by its descriptor. Blocking: deadlines are the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._arrived = bytearray()

    def send(self, value: object) -> None:
        """Write one frame. Raises WireError if the value cannot travel, ClosedError if nobody listens."""
        self.write(pack(value))

    def write(self, frame: bytes) -> None:
        """Write what `pack` made. Raises ClosedError if nobody listens."""
        rest = memoryview(frame)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise ClosedError(f"the other side stopped listening: {error.strerror}") from error

    def receive(self) -> object:
        """Read one frame. Raises ClosedError at the end of the stream, WireError for a bad frame."""
        size = int.from_bytes(self._take(4), "big")
        if size > MAX_FRAME_BYTES:
            raise WireError(f"an answer of {size} bytes; at most {MAX_FRAME_BYTES} are accepted")
        return unpack(self._take(size))

    def _take(self, size: int) -> bytes:
        while len(self._arrived) < size:
            try:
                part = os.read(self._descriptor, _READ_BYTES)
            except OSError as error:
                raise ClosedError(f"the other side is gone: {error.strerror}") from error
            if not part:
                raise ClosedError("the other side ended without answering")
            self._arrived += part
        taken = bytes(self._arrived[:size])
        del self._arrived[:size]
        return taken
