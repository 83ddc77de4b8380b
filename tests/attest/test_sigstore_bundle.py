"""Sigstore bundles: both spellings are read, and what the format does not have is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from refute.attest import key_id, public_pem, sign_envelope, verify_envelope
from refute.attest.sigstore_bundle import (
    MAX_ITEMS,
    MEDIA_TYPE,
    SigstoreBundle,
    find_sigstore_bundle,
    open_envelope,
    read_sigstore_bundle,
    write_sigstore_bundle,
)
from refute.errors import UsageError, VerificationError

KEY, SECOND = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = public_pem(KEY)
ENVELOPE = sign_envelope(b"{}", "application/vnd.in-toto+json", [KEY])
BUNDLE = write_sigstore_bundle(ENVELOPE, key_id(PUBLIC), [b"stamp"])
Content = dict[str, Any]
RAW = {"rawBytes": base64.b64encode(b"certificate").decode()}


def changed(change: Callable[[Content], object]) -> bytes:
    """The bundle after `change`."""
    content: Content = json.loads(BUNDLE)
    change(content)
    return json.dumps(content).encode()


def test_what_is_written_is_read() -> None:
    """The envelope as it was, which still verifies, and the answers of timestamp authorities."""
    assert read_sigstore_bundle(BUNDLE) == SigstoreBundle(ENVELOPE, timestamps=(b"stamp",))
    assert verify_envelope(open_envelope(BUNDLE), [PUBLIC])[1] == b"{}"
    assert json.loads(BUNDLE)["mediaType"] == MEDIA_TYPE == "application/vnd.dev.sigstore.bundle.v0.3+json"


def snake(value: object) -> object:
    """Every key as the .proto file spells it."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(each) for key, each in value.items()}
    return [snake(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("material", [{"certificate": RAW}, {"x509CertificateChain": {"certificates": [RAW, RAW]}}])
def test_both_spellings_are_read_alike(material: Content) -> None:
    """protobuf's JSON has two; here with each kind of material, entries of a log and indentation."""
    content = json.loads(BUNDLE)
    del content["verificationMaterial"]["publicKey"]
    content["verificationMaterial"] |= {**material, "tlogEntries": [{"logIndex": "1"}]}
    first, second = (json.dumps(each, indent=1).encode() for each in (content, snake(content)))
    found = read_sigstore_bundle(first)
    assert found == read_sigstore_bundle(second)
    assert (found.certificates[0], found.logged) == (b"certificate", True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"), "has the media type"),
        (lambda c: c.update(mediaType=3), "has the media type"),
        (lambda c: c.update(media_type=MEDIA_TYPE), "mediaType in two spellings"),
        (lambda c: c.update(more=1), "a field 'more' that the format does not have"),
        (lambda c: c.update(messageSignature={}), "signs a file"),
        (lambda c: c.pop("dsseEnvelope"), "dsseEnvelope is not a JSON object"),
        (lambda c: c.update(verificationMaterial=[]), "verificationMaterial is not a JSON object"),
        (lambda c: c["verificationMaterial"].pop("publicKey"), "must hold one of publicKey"),
        (lambda c: c["verificationMaterial"].update(certificate=RAW), "must hold one of publicKey"),
        (lambda c: c["verificationMaterial"].update(publicKey={"hint": 1}), "hint is not a string"),
        (lambda c: c["verificationMaterial"].update(tlogEntries={}), "tlogEntries must be a list"),
        (lambda c: c["verificationMaterial"].update(tlogEntries=[{}] * (MAX_ITEMS + 1)), "tlogEntries must be a list"),
        (lambda c: c["dsseEnvelope"]["signatures"].append(c["dsseEnvelope"]["signatures"][0]), "carries 2 signatures"),
        (lambda c: c["dsseEnvelope"].update(signatures=[]), "carries 0 signatures"),
        (lambda c: c["dsseEnvelope"].update(payload_type="x"), "payloadType in two spellings"),
        (
            lambda c: c["verificationMaterial"]["timestampVerificationData"].update(rfc3161Timestamps=[{}]),
            "a timestamp has no signedTimestamp",
        ),
        (
            lambda c: c["verificationMaterial"].update(
                timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": "!"}]}
            ),
            "is not base64",
        ),
    ],
)
def test_what_the_format_does_not_have_is_refused(change: Callable[[Content], object], message: str) -> None:
    """By name, wherever it stands."""
    with pytest.raises(VerificationError, match=message):
        read_sigstore_bundle(changed(change))


def test_an_empty_chain_is_no_certificate() -> None:
    """Nor is one without bytes."""
    chains: list[Content] = [{}, {"certificates": []}, {"certificates": [{}]}]
    for chain in chains:
        broken = changed(lambda c, chain=chain: c.update(verificationMaterial={"x509CertificateChain": chain}))  # type: ignore[misc]  # bound now
        with pytest.raises(VerificationError, match=r"empty chain|has no rawBytes"):
            read_sigstore_bundle(broken)


def test_two_signatures_do_not_fit() -> None:
    """A bundle holds one; the caller chooses."""
    with pytest.raises(UsageError, match="carries 2 signatures"):
        write_sigstore_bundle(sign_envelope(b"{}", "x", [KEY, SECOND]), "")


def test_what_is_no_bundle_is_left_alone() -> None:
    """An envelope, text that speaks of bundles, rubbish; what is no JSON is none of them."""
    for data in (ENVELOPE, b'{"payload": "mediaType"}', b'["mediaType"]', b"", b"\xff"):
        assert find_sigstore_bundle(data) is None
        assert open_envelope(data) == data
    with pytest.raises(VerificationError, match="is not JSON"):
        open_envelope(b"mediaType")


@given(st.data())
def test_a_changed_bundle_gives_the_same_payload_or_none(data: st.DataObject) -> None:
    """A byte of it changed anywhere never makes other contents verify."""
    place = data.draw(st.integers(0, len(BUNDLE) - 1))
    broken = BUNDLE[:place] + data.draw(st.binary(max_size=2)) + BUNDLE[place + 1 :]
    with suppress(VerificationError):
        assert verify_envelope(open_envelope(broken), [PUBLIC])[1] == b"{}"
