"""Strict JSON in, canonical JSON out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refute.attest import canonical
from refute.attest.canonical import Json, canonical_json, parse_json, sha256_hex
from refute.errors import VerificationError

REFUSED = {
    "duplicate key": (b'{"verdict":"NO-GO","verdict":"GO"}', "repeats the key 'verdict'"),
    "duplicate key, escaped": (b'{"a":1,"\\u0061":2}', "repeats the key 'a'"),
    "duplicate key, nested": (b'[{"x":[{"b":0,"a":1,"b":1}]}]', "repeats the key 'b'"),
    "nan": (b'{"loss":NaN}', "NaN"),
    "infinity": (b"[Infinity]", "Infinity"),
    "minus infinity": (b"[-Infinity]", "-Infinity"),
    "overflow to infinity": (b"[1e999]", "beyond the range"),
    "integer overflow to infinity": (b"[" + b"9" * 5000 + b"]", "beyond the range"),
    "integer that doubles round": (b"[9007199254740993]", "round differently"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "bad utf-8": (b'"\xff"', "not UTF-8"),
    "utf-16": ("{}".encode("utf-16-le"), "is not JSON"),
    "lone surrogate": (b'"\\ud800"', "surrogate"),
    "lone surrogate in a key": (b'{"\\udfff":1}', "surrogate"),
    "trailing text": (b"{} {}", "is not JSON"),
    "empty": (b"", "is not JSON"),
    "single quotes": (b"{'a':1}", "is not JSON"),
    "trailing comma": (b"[1,]", "is not JSON"),
    "control character": (b'"a\nb"', "is not JSON"),
    "one level too deep": (b"[" * 65 + b"]" * 65, "deeper than 64"),
    "far too deep": (b'[{"a":' * 100_000 + b"1" + b"}]" * 100_000, "deeper than 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ambiguous_json_is_refused_with_its_cause(case: str) -> None:
    """Whatever two JSON readers could understand differently is refused, and the message says what it was."""
    data, cause = REFUSED[case]
    with pytest.raises(VerificationError, match=cause):
        parse_json(data)


def test_the_message_names_the_document() -> None:
    """A refusal says which document was refused."""
    with pytest.raises(VerificationError, match=r"^the waiver file is not JSON"):
        parse_json(b"{", what="the waiver file")


def test_the_stated_depth_is_still_read() -> None:
    """Exactly the bound of nesting is accepted, so the bound is where the documentation puts it."""
    value = parse_json(b"[" * canonical.MAX_JSON_DEPTH + b"]" * canonical.MAX_JSON_DEPTH)
    assert value is not None


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, -(2**53) + 1])
def test_safe_integers_stay_integers(number: int) -> None:
    """Counts are read as integers up to the last one that every reader shares."""
    assert type(parse_json(b"%d" % number)) is int
    assert parse_json(b"%d" % number) == number


def test_more_bytes_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size limit holds at exactly its value, before anything is parsed."""
    monkeypatch.setattr(canonical, "MAX_JSON_BYTES", 4)
    assert parse_json(b"1234") == 1234
    with pytest.raises(VerificationError, match="has 5 bytes; at most 4"):
        parse_json(b"12345")


def test_more_values_than_anybody_signs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen MiB of numbers would take seconds: they are counted by their commas, before anything is parsed."""
    monkeypatch.setattr(canonical, "_MAX_COMMAS", 2)
    assert parse_json(b"[1,2,3]") == [1, 2, 3]
    with pytest.raises(VerificationError, match="has 3 commas; of so many values at most 2"):
        parse_json(b"[1,2,3,4]")


def test_the_published_example_is_reproduced() -> None:
    """The sample object of RFC 8785 §3.2.2 comes out as its §3.2.3 prints it."""
    value = parse_json(
        rb'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        rb'"string":"\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}'
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_json(value) == expected.encode()


def test_keys_are_ordered_by_utf_16() -> None:
    """A key beyond the basic plane sorts before U+FFFF, as RFC 8785 orders by UTF-16 unit."""
    assert canonical_json({"\uffff": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\uffff":1}'.encode()


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(data=st.binary(max_size=40) | st.text('{}[]",:0e9.-\\uNa ', max_size=30).map(str.encode))
def test_no_bytes_escape_the_one_error(data: bytes) -> None:
    """Arbitrary bytes are either a value with a canonical form or a VerificationError, nothing else."""
    try:
        value = parse_json(data)
    except VerificationError:
        return
    assert canonical_json(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {"\ud800": 1}, {1: 2}, {1, 2}])
def test_what_has_no_canonical_form_is_refused(value: Json) -> None:
    """Numbers that are not finite, unsafe integers, lone surrogates and foreign types cannot be signed."""
    with pytest.raises(VerificationError, match="canonical JSON"):
        canonical_json({"value": value})


def test_endless_nesting_is_refused_on_the_way_out() -> None:
    """A list that contains itself is an error of ours, not a RecursionError."""
    endless: list[Json] = []
    endless.append(endless)
    with pytest.raises(VerificationError, match="deeper"):
        canonical_json(endless)


def test_digest_of_nothing() -> None:
    """SHA-256 of the empty string is the published constant, in lower case."""
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
