"""Envelopes: what is signed, what is believed, and what a forger can try."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey  # pyright: ignore[reportPrivateImportUsage]

from refute.attest import key_id, public_pem, sign_envelope, verify_envelope
from refute.attest.dsse import MAX_SIGNATURES, pre_authentication_encoding
from refute.errors import UsageError, VerificationError

TYPE = "application/vnd.in-toto+json"
PAYLOAD = b'{"verdict":"NO-GO","note":"\xc3\xa9 \xfb\xff?>"}'
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUB, OTHER_PUB = public_pem(KEY), public_pem(OTHER)
ENVELOPE = sign_envelope(PAYLOAD, TYPE, [KEY])
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
# The envelope of the DSSE protocol document: ECDSA P-256, raw r || s, no key id.
SPEC_KEY = ec.EllipticCurvePublicNumbers(
    46950820868899156662930047687818585632848591499744589407958293238635476079160,
    5640078356564379163099075877009565129882514886557779369047442380624545832820,
    ec.SECP256R1(),
).public_key()
SPEC_ENVELOPE = (
    b'{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [{"sig": '
    b'"A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}'
)


def spki(key: Any) -> bytes:
    """The PEM of a public key."""
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def changed(envelope: bytes = ENVELOPE, **members: Any) -> bytes:
    """The envelope with members replaced, or removed where the value is None."""
    value = json.loads(envelope) | members
    return json.dumps({name: member for name, member in value.items() if member is not None}).encode()


def with_signature(**members: Any) -> bytes:
    """The envelope with members of its one signature replaced, or removed where the value is `...`."""
    entry = json.loads(ENVELOPE)["signatures"][0] | members
    return changed(signatures=[{name: member for name, member in entry.items() if member is not ...}])


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def test_pae_is_the_specified_one() -> None:
    """The bytes to sign are those of the DSSE document's vector, and lengths count bytes, not characters."""
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pre_authentication_encoding("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_the_specified_envelope_verifies() -> None:
    """The signed example of the DSSE document (raw ECDSA, no key id) is accepted with its own key."""
    assert verify_envelope(SPEC_ENVELOPE, [spki(SPEC_KEY)]) == (
        "http://example.com/HelloWorld",
        b"hello world",
    )


def test_round_trip_returns_the_signed_bytes() -> None:
    """Type and payload come back exactly, also when empty or not ASCII."""
    assert verify_envelope(ENVELOPE, [PUB]) == (TYPE, PAYLOAD)
    assert verify_envelope(sign_envelope(b"", "té", [KEY]), [PUB]) == ("té", b"")


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(bit=st.integers(0, 8 * len(PAYLOAD) - 1))
def test_any_changed_payload_bit_is_refused(bit: int) -> None:
    """No bit of the payload can change under a signature."""
    payload = bytearray(PAYLOAD)
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VerificationError, match="signed by none"):
        verify_envelope(changed(payload=b64(bytes(payload))), [PUB])


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(bit=st.integers(0, 8 * 64 - 1))
def test_any_changed_signature_bit_is_refused(bit: int) -> None:
    """No bit of an Ed25519 signature is spare."""
    signature = bytearray(base64.b64decode(json.loads(ENVELOPE)["signatures"][0]["sig"]))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VerificationError, match="signed by none"):
        verify_envelope(with_signature(sig=b64(bytes(signature))), [PUB])


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(position=st.integers(0, len(ENVELOPE) - 1), byte=st.integers(0, 255))
def test_any_changed_byte_of_the_file_changes_nothing_signed(position: int, byte: int) -> None:
    """An envelope with one byte replaced is refused, or still says exactly what was signed."""
    data = bytearray(ENVELOPE)
    data[position] = byte
    try:
        assert verify_envelope(bytes(data), [PUB]) == (TYPE, PAYLOAD)
    except VerificationError:
        assert bytes(data) != ENVELOPE


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(cut=st.integers(0, len(ENVELOPE) - 1), junk=st.binary(max_size=20))
def test_truncated_and_spliced_files_are_refused(cut: int, junk: bytes) -> None:
    """A file cut short, with or without rubbish after it, is a VerificationError and nothing else."""
    if (data := ENVELOPE[:cut] + junk) != ENVELOPE:
        with pytest.raises(VerificationError):
            verify_envelope(data, [PUB])


@pytest.mark.parametrize("payload_type", ["application/json", TYPE + " ", TYPE.upper(), ""])
def test_the_type_is_signed_too(payload_type: str) -> None:
    """A payload cannot be passed off as another type."""
    with pytest.raises(VerificationError, match="signed by none"):
        verify_envelope(changed(payloadType=payload_type), [PUB])


def test_moving_bytes_between_type_and_payload_is_refused() -> None:
    """The lengths in the signed encoding keep type and payload apart."""
    with pytest.raises(VerificationError, match="signed by none"):
        verify_envelope(changed(payloadType=TYPE + PAYLOAD[:1].decode(), payload=b64(PAYLOAD[1:])), [PUB])


def test_a_strangers_signature_is_refused_by_name() -> None:
    """With the wrong keys, the message counts the keys tried and shows whose name the envelope gives."""
    stranger = public_pem(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(VerificationError, match=f"none of the 2 trusted keys; .* hints at '{key_id(PUB)[:16]}"):
        verify_envelope(ENVELOPE, [OTHER_PUB, stranger])


def test_a_copied_key_id_buys_nothing() -> None:
    """A forger who signs under a trusted key's id is refused, and the message says so."""
    forged = json.loads(sign_envelope(PAYLOAD, TYPE, [OTHER]))["signatures"][0] | {"keyid": key_id(PUB)}
    with pytest.raises(VerificationError, match="is trusted, but the signature under its name does not fit"):
        verify_envelope(changed(signatures=[forged]), [PUB])


@pytest.mark.parametrize("hint", ["", "wrong", None, ..., key_id(OTHER_PUB)])
def test_key_ids_are_not_needed(hint: Any) -> None:
    """An absent, null, empty or wrong key id does not stop a good signature."""
    assert verify_envelope(with_signature(keyid=hint), [OTHER_PUB, PUB]) == (TYPE, PAYLOAD)


def test_a_hostile_hint_cannot_write_to_the_terminal() -> None:
    """Control characters in a key id are escaped in the message."""
    with pytest.raises(VerificationError) as refusal:
        verify_envelope(with_signature(keyid="\x1b[2J\u202egood"), [OTHER_PUB])
    assert str(refusal.value).replace("…", "").isascii()
    assert str(refusal.value).isprintable()


def test_two_names_for_one_key_count_once() -> None:
    """One key under two ids, given once or twice as trusted, never reaches a threshold of two."""
    entry = json.loads(ENVELOPE)["signatures"][0]
    doubled = changed(signatures=[entry | {"keyid": "a"}, entry | {"keyid": "b"}])
    with pytest.raises(VerificationError, match="by 1 of the 2 trusted keys, but 2 are required"):
        verify_envelope(doubled, [PUB, OTHER_PUB], threshold=2)
    with pytest.raises(VerificationError, match="threshold of 2 cannot be met with 1 different"):
        verify_envelope(doubled, [PUB, PUB.replace(b"\n", b"\r\n")], threshold=2)


def test_two_signers_reach_a_threshold_of_two() -> None:
    """Two keys' signatures are counted, beside one that is unknown here."""
    third = Ed25519PrivateKey.generate()
    envelope = sign_envelope(PAYLOAD, TYPE, [third, OTHER, KEY])
    assert verify_envelope(envelope, [PUB, OTHER_PUB], threshold=2) == (TYPE, PAYLOAD)


def test_one_signature_never_votes_for_two_keys() -> None:
    """A second key computed to fit an ECDSA signature (SEC 1 §4.1.6) adds no vote to it."""
    order = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
    key = ec.derive_private_key(2024, ec.SECP256R1())
    envelope = sign_envelope(PAYLOAD, TYPE, [key])
    entry = json.loads(envelope)["signatures"][0]
    r, _ = decode_dss_signature(base64.b64decode(entry["sig"]))
    digest = int.from_bytes(hashlib.sha256(pre_authentication_encoding(TYPE, PAYLOAD)).digest(), "big")
    twin = ec.derive_private_key((-2024 - 2 * digest * pow(r, -1, order)) % order, ec.SECP256R1())
    pems = [public_pem(key), public_pem(twin)]
    assert verify_envelope(envelope, pems[1:]) == (TYPE, PAYLOAD)
    with pytest.raises(VerificationError, match="by 1 of the 2 trusted keys, but 2 are required"):
        verify_envelope(changed(envelope, signatures=[entry, entry]), pems, threshold=2)


@pytest.mark.parametrize("threshold", [-1, 0, 2])
def test_impossible_thresholds_are_refused(threshold: int) -> None:
    """Zero signatures never suffice, and more than there are keys cannot be asked for."""
    with pytest.raises(VerificationError, match="cannot be met"):
        verify_envelope(ENVELOPE, [PUB], threshold=threshold)


def test_no_trusted_key_means_no_trust() -> None:
    """Without keys from the caller nothing verifies, whatever the envelope brings along."""
    with pytest.raises(VerificationError, match="with 0 different trusted keys"):
        verify_envelope(changed(publicKey=PUB.decode()), [])


def test_url_safe_base64_is_accepted() -> None:
    """Both alphabets are read; the payload is chosen to use the characters in which they differ."""
    entry = json.loads(ENVELOPE)["signatures"][0]
    payload = base64.urlsafe_b64encode(PAYLOAD).decode()
    assert set(payload) & {"-", "_"}
    signature = base64.urlsafe_b64encode(base64.b64decode(entry["sig"])).decode()
    assert verify_envelope(changed(payload=payload, signatures=[{"sig": signature}]), [PUB]) == (
        TYPE,
        PAYLOAD,
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "\n",
        lambda text: text[:8] + "\n" + text[8:],
        lambda text: " " + text,
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text[:-3] + chr(ord(text[-3]) + 1) + "==",
        lambda text: "!" + text,
        lambda text: "é" + text[1:],
        lambda text: text.replace("+", "-", 1),
        lambda text: text + "AAAA",
    ],
    ids=[
        *("newline-at-end", "newline", "space", "unpadded", "overpadded"),
        *("spare-bits", "bang", "accent", "mixed", "after-padding"),
    ],
)
def test_other_spellings_of_base64_are_refused(spoil: Any) -> None:
    """Only the spelling that an encoder writes is read, so an envelope's text has no room for variations."""
    payload = b"\xfb\xff\xfb\xfe?"[:4]
    envelope = sign_envelope(payload, TYPE, [KEY])
    text = json.loads(envelope)["payload"]
    assert text == "+//7/g=="
    with pytest.raises(VerificationError, match="payload is not base64"):
        verify_envelope(changed(envelope, payload=spoil(text)), [PUB])


MALFORMED: dict[str, tuple[Any, str]] = {
    "no object": ([], "not a JSON object"),
    "no payload": ({"payload": None}, "payload must be a string, found nothing"),
    "no type": ({"payloadType": None}, "payloadType must be a string, found nothing"),
    "payload number": ({"payload": 1}, "payload must be a string, found int"),
    "no signatures": ({"signatures": None}, "no signatures"),
    "empty signatures": ({"signatures": []}, "no signatures"),
    "signatures object": ({"signatures": {"sig": ""}}, "no signatures"),
    "signature string": ({"signatures": ["x"]}, r"signatures\[0\] is not an object"),
    "signature without sig": ({"signatures": [{"keyid": "a"}]}, r"signatures\[0\].sig must be a string"),
    "keyid number": ({"signatures": [{"sig": "", "keyid": 1}]}, r"signatures\[0\].keyid must be a string"),
    "too many": ({"signatures": [{"sig": ""}] * (MAX_SIGNATURES + 1)}, "at most 64"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_envelopes_are_refused_by_cause(case: str) -> None:
    """Each missing or mistyped member is named."""
    members, cause = MALFORMED[case]
    data = changed(**members) if isinstance(members, dict) else json.dumps(members).encode()
    with pytest.raises(VerificationError, match=cause):
        verify_envelope(data, [PUB])


@pytest.mark.parametrize("member", ["payload", "payloadType", "signatures", "unknown"])
def test_duplicate_envelope_members_are_refused(member: str) -> None:
    """Two readers may pick different copies of a repeated member, so neither is picked."""
    doubled = changed(unknown=1)[:-1] + f', "{member}": "x"}}'.encode()
    with pytest.raises(VerificationError, match=f"repeats the key '{member}'"):
        verify_envelope(doubled, [PUB])


def test_unknown_members_are_ignored() -> None:
    """Members that DSSE does not know do not disturb a good envelope."""
    entry = json.loads(ENVELOPE)["signatures"][0] | {"cert": "x", "extension": {"kind": 1}}
    assert verify_envelope(changed(comment="hi", signatures=[entry]), [PUB]) == (TYPE, PAYLOAD)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_ecdsa_verifies_as_der_and_raw(curve: ec.EllipticCurve) -> None:
    """Both encodings of an ECDSA signature are read on every accepted curve; a changed raw one is refused."""
    key = ec.generate_private_key(curve)
    pem = public_pem(key)
    envelope = sign_envelope(PAYLOAD, TYPE, [key])
    assert verify_envelope(envelope, [pem]) == (TYPE, PAYLOAD)
    size = (curve.key_size + 7) // 8
    r, s = decode_dss_signature(base64.b64decode(json.loads(envelope)["signatures"][0]["sig"]))
    raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert verify_envelope(changed(envelope, signatures=[{"sig": b64(raw)}]), [pem]) == (TYPE, PAYLOAD)
    for bad in (raw[:-1] + bytes([raw[-1] ^ 1]), raw + b"\0", b"\0" + raw, raw[:-1], b"", bytes(2 * size)):
        with pytest.raises(VerificationError, match="signed by none"):
            verify_envelope(changed(envelope, signatures=[{"sig": b64(bad)}]), [pem])


UNUSABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "rsa": (
        lambda: spki(rsa.generate_private_key(65537, 2048).public_key()),
        "RSA.*expected Ed25519 or ECDSA",
    ),
    "secp256k1": (lambda: spki(ec.generate_private_key(ec.SECP256K1()).public_key()), "ECDSA over secp256k1"),
    "private": (
        lambda: KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "private key was given",
    ),
    "two in one": (lambda: PUB + OTHER_PUB, "found 2 PEM blocks"),
    "rubbish": (lambda: b"rubbish", "found 0 PEM blocks"),
    "broken": (lambda: PUB.replace(b"M", b"!"), "not a PEM public key"),
    "text": (lambda: PUB.decode(), "is of type str, expected PEM bytes"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_trusted_keys_are_refused(case: str) -> None:
    """A key that cannot be used is an error even beside a good one, never silently dropped."""
    make, cause = UNUSABLE[case]
    with pytest.raises(VerificationError, match=f"trusted key 2.*{cause}"):
        verify_envelope(ENVELOPE, [PUB, make()])


def test_signing_needs_distinct_usable_keys() -> None:
    """No key, one key twice, and a key of another kind are usage errors."""
    with pytest.raises(UsageError, match="at least one signature"):
        sign_envelope(PAYLOAD, TYPE, [])
    with pytest.raises(UsageError, match="given twice"):
        sign_envelope(PAYLOAD, TYPE, [KEY, KEY])
    with pytest.raises(UsageError, match="ECDSA over secp256k1"):
        sign_envelope(PAYLOAD, TYPE, [ec.generate_private_key(ec.SECP256K1())])


def test_signing_is_deterministic_and_plain_json() -> None:
    """Ed25519 gives the same file each time: three members, standard base64, the signer's key id."""
    value = json.loads(ENVELOPE)
    assert sign_envelope(PAYLOAD, TYPE, [KEY]) == ENVELOPE
    assert sorted(value) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(value["payload"], validate=True) == PAYLOAD
    assert value["signatures"][0]["keyid"] == key_id(PUB)


SIGNERS: dict[str, Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = {"ed25519": KEY} | {
    curve.name: ec.generate_private_key(curve) for curve in CURVES
}


@pytest.mark.parametrize("kind", SIGNERS)
def test_envelopes_of_securesystemslib_verify_here(kind: str) -> None:
    """What another implementation signs is accepted with its public key, and only with that."""
    theirs = OtherEnvelope(PAYLOAD, TYPE, {})
    theirs.sign(CryptoSigner(SIGNERS[kind]))
    data = json.dumps(theirs.to_dict()).encode()
    assert verify_envelope(data, [public_pem(SIGNERS[kind])]) == (TYPE, PAYLOAD)
    with pytest.raises(VerificationError, match="signed by none"):
        verify_envelope(data, [OTHER_PUB])


@pytest.mark.parametrize("kind", SIGNERS)
def test_our_envelopes_verify_with_securesystemslib(kind: str) -> None:
    """What is signed here, another implementation accepts under the key id written here."""
    key = SIGNERS[kind]
    pem = public_pem(key)
    envelope = OtherEnvelope.from_dict(copy.deepcopy(json.loads(sign_envelope(PAYLOAD, TYPE, [key]))))
    accepted = envelope.verify([SSlibKey.from_crypto(key.public_key(), keyid=key_id(pem))], 1)
    assert (list(accepted), envelope.payload) == ([key_id(pem)], PAYLOAD)
