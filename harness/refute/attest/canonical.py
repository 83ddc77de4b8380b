"""JSON at the trust boundary: one strict way in (I-JSON, RFC 7493), one canonical way out (RFC 8785)."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

import rfc8785

from refute.errors import VerificationError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

# A verdict over a hundred falsifiers is about 1 MiB; hostile input of this size still parses in seconds.
MAX_JSON_BYTES = 16 * 1024 * 1024

# Our deepest document nests 10 levels. The bound keeps every later recursive reader far from its limit.
MAX_JSON_DEPTH = 64

# RFC 7493 §2.2: every integer up to 2^53 - 1 is the same number in every implementation.
_MAX_SAFE_INTEGER = 2**53 - 1
# The embedded release's statement has 33,244 commas in 1.3 MB; sixteen MiB of `1,1,1` are eight million calls of
# Python.
_MAX_COMMAS = 2**20


def parse_json(data: bytes, *, what: str = "the JSON") -> Json:
    """The value of `data`, which must be one JSON text that every implementation reads alike.

    Raises VerificationError, naming `what`, on: more than MAX_JSON_BYTES bytes or 2^20 commas, a byte order mark, bytes
    that are not UTF-8, bad syntax, a repeated key, NaN or Infinity, a number beyond the doubles, an integer that a
    double would change, a lone surrogate, more than MAX_JSON_DEPTH levels.
    """
    text = _decode(data, what)
    if (commas := text.count(",")) > _MAX_COMMAS:
        raise VerificationError(
            f"{what} has {commas} commas; of so many values at most {_MAX_COMMAS} are read",
            hint="what refute signs has a thirtieth of that; ask whoever sent this what it is",
        )

    def refuse_constant(name: str) -> NoReturn:
        raise VerificationError(f"{what} holds the number {name}, which JSON does not have")

    def read_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        value = dict(pairs)
        if len(value) != len(pairs):
            repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise VerificationError(f"{what} repeats the key {repeated!a} within one object")
        return value

    try:
        value: Json = json.loads(
            text,
            parse_constant=refuse_constant,
            parse_float=lambda digits: _read_float(digits, what),
            parse_int=lambda digits: _read_integer(digits, what),
            object_pairs_hook=read_object,
        )
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:
        raise VerificationError(f"{what} is not JSON: {error}") from error
    _check_tree(value, what)
    return value


def canonical_json(value: Json) -> bytes:
    """The RFC 8785 form of `value`, as UTF-8 bytes: equal values give equal bytes.

    Raises VerificationError for what has no such form: NaN, infinities, integers beyond 2^53 - 1, lone
    surrogates, keys that are not strings, types that JSON lacks, endless nesting.
    """
    try:
        return rfc8785.dumps(value)
    except RecursionError as error:
        raise _too_deep("the value") from error
    except ValueError as error:
        raise VerificationError(
            f"cannot be written as canonical JSON: {error}",
            hint="a number that is not finite must become a named outcome before it is signed",
        ) from error


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data`, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _decode(data: bytes, what: str) -> str:
    if len(data) > MAX_JSON_BYTES:
        raise VerificationError(f"{what} has {len(data)} bytes; at most {MAX_JSON_BYTES} are read")
    if data.startswith(b"\xef\xbb\xbf"):
        raise VerificationError(f"{what} begins with a byte order mark; expected plain UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error


def _read_float(digits: str, what: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise VerificationError(f"{what} holds the number {digits[:32]}, beyond the range of a double")
    return value


def _read_integer(digits: str, what: str) -> int | float:
    """An int where all readers agree; beyond that the double whose canonical form these digits are."""
    if len(digits) <= 17 and abs(int(digits)) <= _MAX_SAFE_INTEGER:
        return int(digits)
    value = _read_float(digits, what)
    if rfc8785.dumps(value) != digits.encode("ascii"):
        raise VerificationError(
            f"{what} holds the integer {digits[:32]}, which readers round differently",
            hint="integers beyond 2^53 - 1 belong in a string",
        )
    return value


def _check_tree(value: Json, what: str) -> None:
    """Refuse depth and lone surrogates, level by level so that hostile depth costs no stack."""
    level: list[Json] = [value]
    for _ in range(MAX_JSON_DEPTH):
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, what)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key, what)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise _too_deep(what)


def _check_text(text: str, what: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise VerificationError(f"{what} holds half of a surrogate pair in {text[:32]!a}") from error


def _too_deep(what: str) -> VerificationError:
    return VerificationError(f"{what} nests deeper than {MAX_JSON_DEPTH} levels")
