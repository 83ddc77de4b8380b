"""Canonical JSON, envelopes and statements: what is signed is what is read, and nothing else is believed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.errors import VerificationError
from refute_contracts.refusing import refuses

if TYPE_CHECKING:
    from refute.attest import Json, PrivateKey

TYPE = "application/vnd.in-toto+json"
_OTHER_TYPE = "https://example.com/another-predicate"
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)


@cache
def keys() -> tuple[PrivateKey, ...]:
    """Three private keys, two of them Ed25519."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    edwards = (Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32))) for first in (0, 1))
    return *edwards, ec.generate_private_key(ec.SECP256R1())


@given(value=VALUES)
def equal_values_have_one_form(value: Json) -> None:
    """What is written is read back, and written again it is the same bytes, whatever the order of its keys."""
    from refute.attest import canonical_json, parse_json

    written = canonical_json(value)
    read = parse_json(written)
    assert read == value
    assert canonical_json(read) == written
    assert canonical_json(turned(value)) == written


def turned(value: Json) -> Json:
    """The same value with the members of every object in reverse order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


@given(key=_TEXT, first=_LEAVES, second=_LEAVES, between=st.integers(0, 2))
def a_repeated_key_is_refused(key: str, first: object, second: object, between: int) -> None:
    """Readers differ on which of the two counts, so neither does."""
    from refute.attest import parse_json

    other = "".join(f'"{key and "x"}{index}!": 0, ' for index in range(between))
    name = json.dumps(key)
    text = f"{{{name}: {json.dumps(first)}, {other}{name}: {json.dumps(second)}}}"
    assert refuses(VerificationError, lambda: parse_json(text.encode("utf-8")))


@given(payload=st.binary(max_size=40), kind=_TEXT, signer=st.integers(0, 2), other=st.integers(0, 2))
def who_signed_is_who_is_trusted(payload: bytes, kind: str, signer: int, other: int) -> None:
    """Payload and type come back exactly if the key that signed is among those that the caller names."""
    from refute.attest import public_pem, sign_envelope, verify_envelope

    data = sign_envelope(payload, kind, [keys()[signer]])
    assert verify_envelope(data, [public_pem(keys()[signer])]) == (kind, payload)
    if signer != other:
        assert refuses(VerificationError, lambda: verify_envelope(data, [public_pem(keys()[other])]))


@given(payload=st.binary(max_size=40), changed=st.binary(max_size=40), signer=st.integers(0, 2))
def another_payload_is_refused(payload: bytes, changed: bytes, signer: int) -> None:
    """A signature is of one payload."""
    assert payload == changed or refused(payload, signer, payload=base64.b64encode(changed).decode())


@given(payload=st.binary(max_size=40), kind=_TEXT, signer=st.integers(0, 2))
def another_type_is_refused(payload: bytes, kind: str, signer: int) -> None:
    """The payload's type is signed along with it."""
    assert kind == TYPE or refused(payload, signer, payloadType=kind)


def refused(content: bytes, signer: int, **members: str) -> bool:
    """Whether an envelope around `content` is refused once `members` are replaced."""
    from refute.attest import public_pem, sign_envelope, verify_envelope

    envelope = json.loads(sign_envelope(content, TYPE, [keys()[signer]])) | members
    data = json.dumps(envelope).encode()
    return refuses(VerificationError, lambda: verify_envelope(data, [public_pem(keys()[signer])]))


@given(signers=st.sets(st.integers(0, 2), min_size=1), copies=st.integers(1, 3), threshold=st.integers(1, 3))
def a_key_has_one_vote(signers: set[int], copies: int, threshold: int) -> None:
    """Accepted exactly if `threshold` different trusted keys signed, however often each did; these are the signers."""
    from refute.attest import key_id, public_pem, sign_envelope, verify_envelope
    from refute.attest.dsse import envelope_signers

    envelope = json.loads(sign_envelope(b"payload", TYPE, [keys()[index] for index in sorted(signers)]))
    envelope["signatures"] *= copies
    for number, entry in enumerate(envelope["signatures"]):
        entry["keyid"] = f"another name {number}"
    trusted = [public_pem(key) for key in keys()] * 2
    data = json.dumps(envelope).encode()
    enough = len(signers) >= threshold
    assert refuses(VerificationError, lambda: verify_envelope(data, trusted, threshold=threshold)) != enough
    assert envelope_signers(data, trusted) == {key_id(public_pem(keys()[index])) for index in signers}


@given(given_keys=st.lists(st.integers(0, 2), min_size=1, max_size=4), threshold=st.integers(1, 4))
def a_key_given_twice_counts_once(given_keys: list[int], threshold: int) -> None:
    """A threshold that the different keys of the caller cannot meet is refused, not met by repetition."""
    from refute.attest import public_pem, sign_envelope, verify_envelope

    data = sign_envelope(b"payload", TYPE, keys())
    pems = [public_pem(keys()[index]) for index in given_keys]
    possible = threshold <= len(set(given_keys))
    assert refuses(VerificationError, lambda: verify_envelope(data, pems, threshold=threshold)) != possible


@given(name=_TEXT, digest=st.text("0123456789abcdef", min_size=64, max_size=64), value=st.dictionaries(_TEXT, VALUES))
def statements_are_read_back(name: str, digest: str, value: dict[str, Json]) -> None:
    """Subject and predicate, under the identity of the exact bytes."""
    from refute.attest import build_statement, read_statement, sha256_hex
    from refute.attest.statement import PREDICATE_TYPE

    for kind in (PREDICATE_TYPE, _OTHER_TYPE):
        payload = build_statement(name, digest, value, predicate_type=kind)
        found = read_statement(TYPE, payload, predicate_type=kind)
        assert (found.subject_name, found.subject_sha256, found.predicate) == (name, digest, value)
        assert found.payload_sha256 == sha256_hex(payload)
        assert read_statement(TYPE, payload, predicate_type=None) == found


@given(field=st.sampled_from(["_type", "predicateType", "payload type"]), text=_TEXT)
def statements_of_other_kinds_are_refused(field: str, text: str) -> None:
    """Any other payload or statement type; any predicate type but the one asked for; none or two subjects."""
    from refute.attest import build_statement, read_statement

    statement = json.loads(build_statement("m", "a" * 64, {}))
    kind = text if field == "payload type" else TYPE
    other = statement | ({} if field == "payload type" else {field: text})
    assert refuses(VerificationError, lambda: read_statement(kind, json.dumps(other).encode()))
    verdict, review = (json.dumps(statement | kind).encode() for kind in ({}, {"predicateType": _OTHER_TYPE}))
    assert refuses(VerificationError, lambda: read_statement(TYPE, review))
    assert refuses(VerificationError, lambda: read_statement(TYPE, verdict, predicate_type=_OTHER_TYPE))
    none, two = (json.dumps(statement | {"subject": statement["subject"] * count}).encode() for count in (0, 2))
    assert refuses(VerificationError, lambda: read_statement(TYPE, none))
    assert refuses(VerificationError, lambda: read_statement(TYPE, two))


_DSSE = "refute.attest.dsse:"
_READ = "refute.attest.statement:read_statement"
keys_in_order_of_arrival = Rewrite(
    "refute.attest.canonical:canonical_json",
    {"return rfc8785.dumps(value)": "import json; return json.dumps(value, separators=(',', ':')).encode()"},
)
last_key_wins = Rewrite("refute.attest.canonical:parse_json", {"if len(value) != len(pairs):": "if False:"})
type_not_signed = Rewrite(
    f"{_DSSE}pre_authentication_encoding", {"len(kind), kind, len(payload)": "0, b'', len(payload)"}
)
payload_not_signed = Rewrite(f"{_DSSE}pre_authentication_encoding", {"len(payload), payload)": "0, b'')"})
anyone_may_sign = Rewrite(
    "refute.attest.signature:is_signed_by",
    {"if isinstance(key, Ed25519PublicKey):": "return True\n    if isinstance(key, Ed25519PublicKey):"},
)
signatures_counted = Rewrite(
    f"{_DSSE}_signatures", {"found.setdefault(name, signature)": "found[f'{len(found)}{name}'] = signature"}
)
trust_is_a_signature = Rewrite(
    f"{_DSSE}envelope_signers", {"envelope_signatures(data, trusted_keys)": "_unique_keys(trusted_keys)"}
)
_keys_by_position = Rewrite(
    f"{_DSSE}_unique_keys", {"keys[sha256_hex(subject_public_key_info(key))] = key": "keys[str(position)] = key"}
)
predicate_type_not_compared = Rewrite(
    _READ, {'_expect("predicateType", root.get("predicateType"), predicate_type)': "pass"}
)
asked_for_in_vain = Rewrite(
    _READ, {'root.get("predicateType"), predicate_type)': 'root.get("predicateType"), PREDICATE_TYPE)'}
)
payload_type_not_compared = Rewrite(_READ, {'_expect("payload type", payload_type, PAYLOAD_TYPE)': "pass"})
first_of_several_subjects = Rewrite("refute.attest.statement:_read_subject", {"len(subjects) != 1": "not subjects"})
subject_not_named = Rewrite("refute.attest.statement:build_statement", {'"name": subject_name': '"name": ""'})
_every_name_votes = Rewrite(
    f"{_DSSE}_signatures",
    {
        "return found": "return {name: signature for signature in envelope.signatures for name, key in trusted.items() "
        "if is_signed_by(key, signature, message)}"
    },
)


@contextmanager
def one_key_under_two_names() -> Iterator[None]:
    """Trusted keys are told apart by their places in the list, and a signature votes for all that fit."""
    with _keys_by_position(), _every_name_votes():
        yield
