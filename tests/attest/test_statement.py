"""The in-toto statement: built canonically, read strictly."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from refute.attest import PAYLOAD_TYPE, PREDICATE_TYPE, Statement, build_statement, read_statement
from refute.attest.canonical import Json, canonical_json
from refute.errors import VerificationError

DIGEST = hashlib.sha256(b"model").hexdigest()
PREDICATE: dict[str, Json] = {"verdict": "NO-GO", "reasons": ["falsified"], "score": 0.25}
PAYLOAD = build_statement("student", DIGEST, PREDICATE)


def changed(**members: Any) -> bytes:
    """The statement with members replaced, or removed where the value is None."""
    value = json.loads(PAYLOAD) | members
    return json.dumps({name: member for name, member in value.items() if member is not None}).encode()


def test_what_is_built_is_read() -> None:
    """Subject and predicate survive, and the identity is the digest of the payload."""
    assert read_statement(PAYLOAD_TYPE, PAYLOAD) == Statement(
        "student", DIGEST, PREDICATE, hashlib.sha256(PAYLOAD).hexdigest()
    )


def test_the_bytes_are_the_published_shape() -> None:
    """The wire form is in-toto Statement v1 in canonical JSON, spelled out here once."""
    assert build_statement("m", DIGEST, {"b": 1, "a": 2.0}) == (
        b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"a":2,"b":1},'
        b'"predicateType":"' + PREDICATE_TYPE.encode() + b'",'
        b'"subject":[{"digest":{"sha256":"' + DIGEST.encode() + b'"},"name":"m"}]}'
    )


@pytest.mark.parametrize("digest", ["", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "g" * 64, DIGEST + "\n"])
def test_a_statement_needs_a_real_digest(digest: str) -> None:
    """Neither builder nor reader takes anything but 64 lower-case hexadecimal digits."""
    with pytest.raises(VerificationError, match="64 lower-case hexadecimal"):
        build_statement("m", digest, PREDICATE)
    with pytest.raises(VerificationError, match="64 lower-case hexadecimal"):
        read_statement(PAYLOAD_TYPE, changed(subject=[{"digest": {"sha256": digest}}]))


def test_a_number_that_is_not_finite_is_not_signed() -> None:
    """NaN in a predicate stops the statement."""
    with pytest.raises(VerificationError, match="canonical JSON"):
        build_statement("m", DIGEST, {"loss": float("nan")})


@pytest.mark.parametrize("payload_type", ["application/json", PAYLOAD_TYPE + " ", PAYLOAD_TYPE.upper(), ""])
def test_another_payload_type_is_refused(payload_type: str) -> None:
    """A payload of another type is refused before it is read."""
    with pytest.raises(VerificationError, match="payload type is"):
        read_statement(payload_type, b"not even JSON")


SUBJECT = {"name": "m", "digest": {"sha256": DIGEST}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no _type": ({"_type": None}, "_type is None"),
    "old _type": ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type is"),
    "no predicateType": ({"predicateType": None}, "predicateType is None"),
    "other predicateType": ({"predicateType": "https://slsa.dev/provenance/v1"}, "predicateType is"),
    "next version": ({"predicateType": PREDICATE_TYPE.replace("v1", "v2")}, "predicateType is"),
    "no predicate": ({"predicate": None}, "no predicate object"),
    "predicate list": ({"predicate": []}, "no predicate object"),
    "no subject": ({"subject": None}, "exactly one subject, found no list"),
    "empty subject": ({"subject": []}, "exactly one subject, found 0"),
    "two subjects": ({"subject": [SUBJECT, SUBJECT]}, "exactly one subject, found 2"),
    "subject object": ({"subject": SUBJECT}, "exactly one subject, found no list"),
    "subject string": ({"subject": ["m"]}, "subject is not an object"),
    "no digest": ({"subject": [{"name": "m"}]}, "no sha256 digest"),
    "other digest": ({"subject": [{"digest": {"sha512": DIGEST * 2}}]}, "no sha256 digest"),
    "digest number": ({"subject": [{"digest": {"sha256": 1}}]}, "64 lower-case hexadecimal"),
    "name number": ({"subject": [SUBJECT | {"name": 1}]}, "name of its subject is not a string"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_statements_of_another_shape_are_refused(case: str) -> None:
    """Each deviation from the one accepted shape is refused by name."""
    members, cause = REFUSED[case]
    with pytest.raises(VerificationError, match=cause):
        read_statement(PAYLOAD_TYPE, changed(**members))


@pytest.mark.parametrize("payload", [b"[]", b"", b'"x"', b"null"])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    """Anything but a JSON object is refused."""
    with pytest.raises(VerificationError, match="the statement is not"):
        read_statement(PAYLOAD_TYPE, payload)


@pytest.mark.parametrize("member", ["predicate", "subject", "_type", "unknown"])
def test_duplicate_keys_in_the_payload_are_refused(member: str) -> None:
    """Even a signed payload may not say two things under one key."""
    doubled = changed(unknown=1)[:-1] + f', "{member}": 0}}'.encode()
    with pytest.raises(VerificationError, match=f"repeats the key '{member}'"):
        read_statement(PAYLOAD_TYPE, doubled)


def test_a_duplicate_verdict_is_refused() -> None:
    """NO-GO followed by GO under one key is not read as GO."""
    doubled = PAYLOAD.replace(b'"verdict":"NO-GO"', b'"verdict":"NO-GO","verdict":"GO"')
    assert doubled != PAYLOAD
    with pytest.raises(VerificationError, match="repeats the key 'verdict'"):
        read_statement(PAYLOAD_TYPE, doubled)


def test_unknown_fields_and_further_digests_are_ignored() -> None:
    """in-toto readers ignore what they do not know; the SHA-256 alone decides."""
    subject = {"name": "m", "uri": "x", "digest": {"sha256": DIGEST, "sha512": "ff"}}
    statement = read_statement(PAYLOAD_TYPE, changed(subject=[subject], extra=[1]))
    assert (statement.subject_name, statement.subject_sha256) == ("m", DIGEST)


def test_a_subject_without_a_name_is_read() -> None:
    """The name informs only, so its absence is not an error."""
    assert read_statement(PAYLOAD_TYPE, changed(subject=[{"digest": {"sha256": DIGEST}}])).subject_name == ""


def test_the_predicate_type_is_a_normal_uri() -> None:
    """in-toto wants scheme and authority in lower case and a version; `.invalid` keeps it no one's domain."""
    assert PREDICATE_TYPE == "https://refute.invalid/verdict/v1"


def test_identity_follows_the_payload_not_the_file() -> None:
    """Two payloads with equal meaning and different bytes are different verdicts."""
    spaced = json.dumps(json.loads(PAYLOAD)).encode()
    one, two = read_statement(PAYLOAD_TYPE, PAYLOAD), read_statement(PAYLOAD_TYPE, spaced)
    assert one.payload_sha256 != two.payload_sha256
    assert canonical_json(json.loads(spaced)) == PAYLOAD
