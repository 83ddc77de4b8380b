"""A verdict whose envelope another implementation made verifies; what is no verdict is refused in one way only."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import CryptoSigner  # pyright: ignore[reportPrivateImportUsage]

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    canonical_json,
    generate_key,
    key_id,
    load_private_key,
    parse_json,
    public_pem,
    read_model_signature,
    read_statement,
    sign_envelope,
    verify_envelope,
)
from refute.errors import VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.verify.verification import verify_verdict

MakeRun = Callable[..., RunFolder]
CURVES: list[tuple[ec.EllipticCurve, type[hashes.HashAlgorithm]]] = [
    (ec.SECP256R1(), hashes.SHA256),
    (ec.SECP384R1(), hashes.SHA384),
    (ec.SECP521R1(), hashes.SHA512),
]


def payload_for(judged: Judged, key: PrivateKey) -> bytes:
    """The statement of the verdict, with `key` as the signer that it names."""
    content = json.loads(judged.predicate.model_dump_json())
    content["signer"]["key_id"] = key_id(public_pem(key))
    subject = judged.predicate.subject
    return build_statement(subject.name, subject.sha256, content)


def by_hand(payload: bytes, signature: bytes, encode: Callable[[bytes], bytes], **extra: Any) -> bytes:
    """An envelope as the DSSE document has it, without a key id."""
    text = {"payload": encode(payload).decode(), "payloadType": PAYLOAD_TYPE}
    return json.dumps({**text, "signatures": [{"sig": encode(signature).decode(), **extra}], **extra}).encode()


def pae(payload: bytes) -> bytes:
    """What is signed, written out anew."""
    return b" ".join(
        [b"DSSEv1", str(len(PAYLOAD_TYPE)).encode(), PAYLOAD_TYPE.encode(), str(len(payload)).encode(), payload]
    )


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("raw", [False, True])
def test_ecdsa_by_hand(judged: Judged, encode: Callable[[bytes], bytes], raw: bool) -> None:
    """Every curve, DER and r || s, both alphabets, no key id, members that nobody knows."""
    for curve, algorithm in CURVES:
        key = ec.generate_private_key(curve)
        payload = payload_for(judged, key)
        signature = key.sign(pae(payload), ec.ECDSA(algorithm()))
        if raw:
            size = (curve.key_size + 7) // 8
            signature = b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(signature))
        verified = verify_verdict(by_hand(payload, signature, encode, extension={"x": [1]}), [public_pem(key)])
        assert verified.predicate.verdict == judged.predicate.verdict


def test_envelopes_of_securesystemslib(judged: Judged) -> None:
    """Ed25519 and ECDSA, signed by the other library; its key ids are not ours and do not matter."""
    for key in (Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        theirs = OtherEnvelope(payload_for(judged, key), PAYLOAD_TYPE, {})
        theirs.sign(CryptoSigner(key))
        verified = verify_verdict(json.dumps(theirs.to_dict()).encode(), [public_pem(key)])
        assert verified.predicate.verdict == judged.predicate.verdict


def test_a_second_signer_makes_a_threshold(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """Runner and release owner over one payload; either alone, or one of them twice, is not two."""
    owner = load_private_key(generate_key(tmp_path / "keys", "owner").private)
    _, payload = verify_envelope(judged.path.read_bytes(), [public_pem(key)])
    both = sign_envelope(payload, PAYLOAD_TYPE, [key, owner])
    keys = [public_pem(key), public_pem(owner)]
    assert "signed by 2 different trusted keys" in verify_verdict(both, keys, threshold=2).checks
    alone = verify_verdict(both, keys[1:])
    assert alone.payload_sha256 == judged.payload_sha256
    assert any("the signer that it names" in check and "not among the keys given" in check for check in alone.checks)
    assert not any("the signer that it names" in check for check in verify_verdict(both, keys).checks)
    for envelope, trusted in ((judged.path.read_bytes(), keys), (both, keys[:1] * 2)):
        with pytest.raises(VerificationError, match=r"but 2 are required|cannot be met"):
            verify_verdict(envelope, trusted, threshold=2)


def test_the_signer_named_inside_must_have_signed(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """Another key's signature over a verdict that names this one, alone or where this one is trusted, too."""
    other = load_private_key(generate_key(tmp_path / "keys", "other").private)
    _, payload = verify_envelope(judged.path.read_bytes(), [public_pem(key)])
    forged = sign_envelope(payload, PAYLOAD_TYPE, [other])
    for trusted in ([public_pem(other)], [public_pem(other), public_pem(key)]):
        with pytest.raises(VerificationError, match="as its signer, but was signed by") as caught:
            verify_verdict(forged, trusted)
        assert caught.value.cause == "signer"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda s: s.update(predicateType="https://refute.invalid/verdict/v2"), "predicateType is"),
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "_type is"),
        (lambda s: s.update(subject=[]), "exactly one subject"),
        (lambda s: s.update(subject=s["subject"] * 2), "exactly one subject"),
        (lambda s: s["subject"][0].update(digest={"sha512": "0" * 128}), "no sha256"),
        (lambda s: s["subject"][0]["digest"].update(sha256="A" * 64), "64 lower-case"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "not the predicate's subject"),
        (lambda s: s["subject"][0].update(name="other"), "not the predicate's subject"),
        (lambda s: s.update(predicate=[]), "no predicate object"),
        (lambda s: s.pop("predicate"), "no predicate object"),
    ],
)
def test_every_member_of_the_statement(
    judged: Judged, key: PrivateKey, change: Callable[[dict[str, Any]], object], cause: str
) -> None:
    """Signed by the trusted key, and not a verdict about this subject."""
    statement = json.loads(payload_for(judged, key))
    change(statement)
    with pytest.raises(VerificationError, match=cause) as caught:
        verify_verdict(sign_envelope(json.dumps(statement).encode(), PAYLOAD_TYPE, [key]), [public_pem(key)])
    assert caught.value.cause == "statement"


def test_fields_that_the_statement_may_have_are_ignored(judged: Judged, key: PrivateKey) -> None:
    """in-toto asks for it: an unknown member, a second digest, an annotation."""
    statement = json.loads(payload_for(judged, key))
    statement["extra"] = 1
    statement["subject"][0] |= {"annotations": {"a": 1}, "digest": statement["subject"][0]["digest"] | {"md5": "x"}}
    verify_verdict(sign_envelope(json.dumps(statement).encode(), PAYLOAD_TYPE, [key]), [public_pem(key)])


TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PUB = public_pem(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def only_refuses(call: Callable[[], object]) -> None:
    """A value or a VerificationError; nothing else may come out."""
    with suppress(VerificationError):
        call()


@FUZZ
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_break_a_parser(data: bytes) -> None:
    """Anything at all."""
    for parse in (parse_json, read_model_signature, read_bundle):
        only_refuses(lambda parse=parse: parse(data))  # type: ignore[misc]  # mypy infers no defaults of lambdas
    only_refuses(lambda: verify_envelope(data, [PUB]))
    only_refuses(lambda: verify_envelope(data, [data]))
    only_refuses(lambda: read_statement(PAYLOAD_TYPE, data))


@pytest.mark.slow
@FUZZ
@given(value=JSON)
def test_no_json_breaks_a_parser(value: Any) -> None:
    """What looks like JSON, with lone surrogates, huge integers and numbers that are none."""
    text = json.dumps(value)
    only_refuses(lambda: canonical_json(parse_json(text.encode())))
    only_refuses(lambda: canonical_json(value))
    only_refuses(lambda: read_statement(PAYLOAD_TYPE, text.encode()))
    only_refuses(lambda: read_bundle(f"{text}\n{text}".encode()))
    only_refuses(lambda: read_model_signature(text.encode()))


@pytest.mark.slow
@FUZZ
@given(data=st.data())
def test_no_member_breaks_the_envelope(judged: Judged, key: PrivateKey, data: st.DataObject) -> None:
    """Any JSON in any place of a real envelope or bundle."""
    envelope = json.loads(judged.path.read_bytes())
    place = data.draw(st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid", "entry"]))
    value = data.draw(JSON)
    if place in envelope:
        envelope[place] = value
    elif place == "entry":
        envelope["signatures"][0] = value
    else:
        envelope["signatures"][0][place] = value
    text = json.dumps(envelope).encode()
    only_refuses(lambda: verify_envelope(text, [public_pem(key)]))
    only_refuses(lambda: verify_verdict(judged.path.read_bytes() + b"\n" + text, [public_pem(key)]))


@pytest.mark.slow
@FUZZ
@given(value=JSON)
def test_no_predicate_breaks_the_verifier(judged: Judged, key: PrivateKey, value: Any) -> None:
    """Any JSON as the whole predicate, or as a member of a real one."""
    content = copy.deepcopy(json.loads(judged.predicate.model_dump_json()))
    for predicate in (value, {**content, **value} if isinstance(value, dict) else content | {"identity": value}):
        statement = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://refute.invalid/verdict/v1"}
        subject = [{"name": "x", "digest": {"sha256": "0" * 64}}]
        payload = json.dumps({**statement, "subject": subject, "predicate": predicate}).encode()
        with pytest.raises(VerificationError):
            verify_verdict(sign_envelope(payload, PAYLOAD_TYPE, [key]), [public_pem(key)])
