"""Sigstore bundles, version 0.3: a DSSE envelope with one signature, and what a reader needs beside it to check that.

The messages are those of sigstore_bundle.proto (github.com/sigstore/protobuf-specs) as protobuf writes them in JSON: in
lowerCamelCase or under the fields' own names, both of which are read. Nothing that a bundle says is believed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from refute.attest.canonical import Json, canonical_json, parse_json
from refute.attest.dsse import decode_base64, encode_base64
from refute.errors import UsageError, VerificationError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# Writers of the format's first months spelt it as they had spelt 0.1 and 0.2.
_MEDIA_TYPES = (MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3")
# Far more than any client writes: sigstore-go reads 32 timestamps at most.
MAX_ITEMS = 32
_WHAT = "the Sigstore bundle"
_MARKS = (b"mediaType", b"media_type")


@dataclass(frozen=True, slots=True)
class SigstoreBundle:
    """What a bundle holds. `envelope` is the DSSE envelope in canonical JSON.

    `certificates` are DER, the signer's first, and empty where the bundle only hints at a key. `timestamps` are answers
    of RFC 3161 authorities, in DER, about the bytes of the signature. `logged`: it has entries of a transparency log.
    """

    envelope: bytes
    certificates: tuple[bytes, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    logged: bool = False


def find_sigstore_bundle(data: bytes) -> SigstoreBundle | None:
    """The bundle `data`; None for what names no media type, such as an envelope alone.

    Raises VerificationError for what is no JSON, and as `read_sigstore_bundle` does.
    """
    if not any(mark in data for mark in _MARKS):
        return None
    root = parse_json(data, what="the envelope")
    if not isinstance(root, dict) or {"mediaType", "media_type"}.isdisjoint(root):
        return None
    return _read(root)


def read_sigstore_bundle(data: bytes) -> SigstoreBundle:
    """The parts of a bundle around a DSSE envelope.

    Raises VerificationError for another version, for a bundle of a file's signature, for no signature or several, for a
    field that the format does not have, that comes in both spellings, or that is not of its type.
    """
    return _read(parse_json(data, what=_WHAT))


def open_envelope(data: bytes) -> bytes:
    """The envelope in the bundle `data`; what is no bundle, as it is. Raises as `find_sigstore_bundle` does."""
    found = find_sigstore_bundle(data)
    return data if found is None else found.envelope


def write_sigstore_bundle(
    envelope: bytes, key_hint: str, timestamps: Sequence[bytes] = (), certificates: Sequence[bytes] = ()
) -> bytes:
    """A bundle in canonical JSON around `envelope`, whose one signature a reader checks with a key of their own.

    `key_hint` helps them to find it; in its place may stand the signer's certificate and those above it (DER). Raises
    VerificationError for a malformed envelope, UsageError for one with several signatures, which the format does not
    hold.
    """
    root = parse_json(envelope, what="the envelope")
    signatures = root.get("signatures") if isinstance(root, dict) else None
    if isinstance(signatures, list) and len(signatures) > 1:
        raise UsageError(
            f"the envelope carries {len(signatures)} signatures, and a Sigstore bundle holds one",
            hint="make a bundle for each signer, from the signature of theirs alone",
        )
    stamps: list[Json] = [{"signedTimestamp": encode_base64(each)} for each in timestamps]
    content: dict[str, Json] = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            **(_chain(certificates) if certificates else {"publicKey": {"hint": key_hint}}),
            "tlogEntries": [],
            **({"timestampVerificationData": {"rfc3161Timestamps": stamps}} if stamps else {}),
        },
        "dsseEnvelope": root,
    }
    bundle = canonical_json(content)
    read_sigstore_bundle(bundle)
    return bundle


def _chain(certificates: Sequence[bytes]) -> dict[str, Json]:
    raw: list[Json] = [{"rawBytes": encode_base64(each)} for each in certificates]
    return {"certificate": raw[0]} if len(raw) == 1 else {"x509CertificateChain": {"certificates": raw}}


def _read(value: Json) -> SigstoreBundle:
    root = _members(value, "it", "mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature")
    if (found := root.get("mediaType")) not in _MEDIA_TYPES:
        raise VerificationError(
            f"{_WHAT} has the media type {str(found)[:80]!a}, expected {MEDIA_TYPE}",
            hint="have its writer write version 0.3",
        )
    if root.get("messageSignature") is not None:
        raise VerificationError(f"{_WHAT} signs a file, and holds no statement", hint="give the bundle of a verdict")
    material = _members(
        root.get("verificationMaterial"),
        "verificationMaterial",
        *("publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData"),
    )
    return SigstoreBundle(
        _envelope(root.get("dsseEnvelope")),
        _certificates(material),
        _timestamps(material.get("timestampVerificationData")),
        bool(_items(material.get("tlogEntries"), "tlogEntries")),
    )


def _envelope(value: Json) -> bytes:
    found = _members(value, "dsseEnvelope", "payload", "payloadType", "signatures")
    signatures = _items(found.get("signatures"), "signatures")
    if len(signatures) != 1:
        raise VerificationError(f"{_WHAT} carries {len(signatures)} signatures; the format has exactly one")
    signature = _members(signatures[0], "signatures[0]", "sig", "keyid")
    return canonical_json({**found, "signatures": [signature]})


def _certificates(material: dict[str, Json]) -> tuple[bytes, ...]:
    """The signer's certificate and those above it. One kind of material is there: that is the format's `oneof`."""
    given = [name for name in ("publicKey", "certificate", "x509CertificateChain") if material.get(name) is not None]
    if len(given) != 1:
        raise VerificationError(
            f"{_WHAT} must hold one of publicKey, certificate and x509CertificateChain, found {given or 'none'}"
        )
    if given == ["publicKey"]:
        hint = _members(material["publicKey"], "publicKey", "hint").get("hint")
        if not isinstance(hint, str | None):
            raise VerificationError(f"{_WHAT}: publicKey.hint is not a string")
        return ()
    if given == ["certificate"]:
        return (_bytes_in(material["certificate"], "certificate", "rawBytes"),)
    chain = _members(material["x509CertificateChain"], "x509CertificateChain", "certificates")
    certificates = _items(chain.get("certificates"), "certificates")
    if not certificates:
        raise VerificationError(f"{_WHAT} holds an empty chain of certificates")
    return tuple(_bytes_in(each, "a certificate", "rawBytes") for each in certificates)


def _timestamps(value: Json) -> tuple[bytes, ...]:
    if value is None:
        return ()
    found = _members(value, "timestampVerificationData", "rfc3161Timestamps").get("rfc3161Timestamps")
    return tuple(_bytes_in(each, "a timestamp", "signedTimestamp") for each in _items(found, "rfc3161Timestamps"))


def _members(value: Json, what: str, *known: str) -> dict[str, Json]:
    """The fields of a message by their names in lowerCamelCase."""
    if not isinstance(value, dict):
        raise VerificationError(f"{_WHAT}: {what} is not a JSON object")
    spelt = {spelling: name for name in known for spelling in (name, _field_name(name))}
    members: dict[str, Json] = {}
    for spelling, content in value.items():
        name = spelt.get(spelling)
        if name is None:
            raise VerificationError(f"{_WHAT}: {what} has a field {spelling[:80]!a} that the format does not have")
        if name in members:
            raise VerificationError(f"{_WHAT}: {what} has the field {name} in two spellings")
        members[name] = content
    return members


def _field_name(name: str) -> str:
    """`rawBytes` as the .proto file spells it: `raw_bytes`."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _items(value: Json, what: str) -> list[Json]:
    """A repeated field; protobuf leaves an empty one out."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise VerificationError(f"{_WHAT}: {what} must be a list of at most {MAX_ITEMS}")
    return value


def _bytes_in(value: Json, what: str, field: str) -> bytes:
    text = _members(value, what, field).get(field)
    if not isinstance(text, str) or not text:
        raise VerificationError(f"{_WHAT}: {what} has no {field}")
    return decode_base64(text, field)
