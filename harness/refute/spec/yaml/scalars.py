"""Read one unquoted YAML scalar the way it looks, and refuse the ones that YAML 1.1 and 1.2 read differently.

YAML 1.1 turns `no` into false, `010` into 8, `1:30` into 90 and `2026-01-01` into a date; YAML 1.2 does
not. A spec that means different things to two readers cannot be signed, so those must be quoted.
Sources: YAML 1.1 type repository (yaml.org/type) as PyYAML resolves it; YAML 1.2.2, §10.3.2 core schema.
"""

from __future__ import annotations

import math
import re

import yaml

Scalar = bool | int | float | str | None

# RFC 8785 (canonical JSON) carries integers exactly only up to 2**53 - 1, as IEEE 754 doubles do.
MAX_INTEGER = 2**53 - 1
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")

_SURPRISES = tuple(
    (re.compile(pattern, re.IGNORECASE), complaint)
    for pattern, complaint in (
        (r"true|false", "looks like a boolean: write it in lower case, or quote it"),
        (r"y|n|yes|no|on|off", "is a boolean in YAML 1.1: write true or false, or quote it"),
        (r"~|null", "means null: write `null`, or quote it"),
        (r"[-+]?\.(inf|nan)", "is not a finite number: quote it if it is meant as text"),
        (r"[-+]?0[oxb][0-9a-f_]+", "is a number in another base: write it in decimal, or quote it"),
        (
            r"[-+]?0[0-9_]+(\.[0-9_]*)?(e[-+]?[0-9]+)?",
            "starts with 0, octal in YAML 1.1: drop it, or quote it",
        ),
        (
            r"[-+]?[0-9]+_[0-9_.]*(e[-+]?[0-9_]+)?",
            "is a number to some YAML readers: drop the _, or quote it",
        ),
        (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", "is a base-60 number in YAML 1.1: quote it"),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t \t].*)?", "is a date in YAML 1.1: quote it"),
        (r"<<|=", "is a special word in YAML 1.1: quote it"),
    )
)

_YAML_1_1 = yaml.resolver.Resolver()
_TEXT_TAG = "tag:yaml.org,2002:str"


def read_plain(text: str) -> Scalar:
    """The value of the unquoted scalar `text`: true, false, null, a decimal number, or else the text itself.

    Raises ValueError, saying what to write instead, where YAML versions or a reader's eyes disagree.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    for pattern, complaint in _SURPRISES:
        if pattern.fullmatch(text):
            raise ValueError(f"`{_short(text)}` {complaint}")
    if not text:
        raise ValueError('has no value: write one, `null`, or "" for empty text')
    # The safety net: whatever PyYAML's own 1.1 table would convert and no line above names.
    tag = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # PyYAML
    if tag != _TEXT_TAG:
        raise ValueError(f"`{_short(text)}` is not text in YAML 1.1: quote it")
    return text


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError(f"`{_short(text)}` is beyond 2^53 - 1, which canonical JSON cannot carry: quote it")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"`{_short(text)}` is beyond the range of a double: quote it if it is meant as text")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}…"
