"""DSSE 1.0.2 envelopes: payload and type signed together, checked against keys that only the caller names.

The signing library of the project, securesystemslib, is not used here: its verification wants key ids in
the envelope and matches keys by them, knows only DER, and counts one key under two ids twice. What DSSE asks
beyond a signature is the few lines below; tests hold both implementations against each other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from refute.attest.canonical import MAX_JSON_BYTES, Json, canonical_json, parse_json, sha256_hex
from refute.attest.signature import (
    ACCEPTED_KEYS,
    PrivateKey,
    PublicKey,
    describe_key,
    is_accepted,
    is_signed_by,
    key_id,
    load_public_key,
    public_pem,
    sign_message,
    subject_public_key_info,
)
from refute.errors import UsageError, VerificationError

# More signatures than any sign-off needs; every one of them is tried with every trusted key.
MAX_SIGNATURES = 64
_WHAT = "the envelope"


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What the JSON said, decoded; nothing in it is trusted. `hints` are its non-empty key ids."""

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]
    hints: tuple[str, ...]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE protocol, PAE): type and payload, each behind its length in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, payload_type: str, private_keys: Sequence[PrivateKey]) -> bytes:
    """A JSON envelope around `payload` with one signature of each key, in canonical JSON.

    Key ids are `key_id` of the public halves: hints that save a reader guessing, never evidence.
    Raises UsageError without keys, with one key twice, with a key of another kind, or for more than readers take.
    """
    message = pre_authentication_encoding(payload_type, payload)
    signatures: dict[str, Json] = {}
    for key in private_keys:
        if not is_accepted(key):
            raise UsageError(f"cannot sign with this key ({describe_key(key)}); expected {ACCEPTED_KEYS}")
        hint = key_id(public_pem(key))
        if hint in signatures:
            raise UsageError(f"key {hint} was given twice; a second signature of it adds nothing")
        signatures[hint] = {"keyid": hint, "sig": encode_base64(sign_message(key, message))}
    if not signatures:
        raise UsageError("an envelope needs at least one signature; no private key was given")
    envelope = canonical_json(
        {
            "payload": encode_base64(payload),
            "payloadType": payload_type,
            "signatures": list(signatures.values()),
        }
    )
    if len(envelope) > MAX_JSON_BYTES:
        raise UsageError(f"{_WHAT} would have {len(envelope)} bytes, and nobody reads more than {MAX_JSON_BYTES}")
    return envelope


def countersign_envelope(data: bytes, key: PrivateKey) -> bytes:
    """The envelope `data` with one more signature, by `key`; payload and earlier signatures stay as they are.

    Raises VerificationError for a malformed envelope, UsageError for a key of another kind or one that signed already.
    """
    envelope = _read_envelope(data)
    if envelope_signers(data, [public_pem(key)]):
        raise UsageError(f"key {key_id(public_pem(key))[:16]}… has signed this already; again, it would add nothing")
    own = parse_json(sign_envelope(envelope.payload, envelope.payload_type, [key]), what=_WHAT)
    root = parse_json(data, what=_WHAT)
    if not isinstance(root, dict) or not isinstance(own, dict):
        raise TypeError("an envelope is a JSON object")
    return canonical_json({**root, "signatures": [*_entries(root), *_entries(own)]})


def keep_signature(data: bytes, signature: bytes) -> bytes:
    """The envelope `data` with `signature`, which is one of its own, alone. Raises VerificationError if malformed."""
    envelope, root = _read_envelope(data), parse_json(data, what=_WHAT)
    if not isinstance(root, dict):
        raise TypeError("an envelope is a JSON object")
    kept = [_entries(root)[envelope.signatures.index(signature)]]
    return canonical_json({"payload": root["payload"], "payloadType": root["payloadType"], "signatures": kept})


def _entries(root: dict[str, Json]) -> list[Json]:
    found = root["signatures"]
    return found if isinstance(found, list) else []


def verify_envelope(data: bytes, trusted_keys: Sequence[bytes], *, threshold: int = 1) -> tuple[str, bytes]:
    """The payload type and payload of `data`, signed by at least `threshold` different trusted keys.

    `trusted_keys` are PEM public keys; one key given twice counts once. Key ids inside the envelope are
    never believed and may be absent or wrong. The caller still has to refuse a payload type that it does not
    expect. Raises VerificationError naming the cause: malformed envelope, unusable key, impossible threshold,
    too few valid signatures.
    """
    trusted = _unique_keys(trusted_keys)
    if not 1 <= threshold <= len(trusted):
        raise VerificationError(
            f"a threshold of {threshold} cannot be met with {_count(len(trusted), 'different trusted key')}",
            hint="give at least one public key, and as many as the threshold asks for",
            cause="keys",
        )
    envelope = _read_envelope(data)
    accepted = _signatures(envelope, trusted)
    if len(accepted) < threshold:
        raise _too_few(envelope, trusted, set(accepted), threshold)
    return envelope.payload_type, envelope.payload


def envelope_signers(data: bytes, trusted_keys: Sequence[bytes]) -> frozenset[str]:
    """The `key_id` of every key in `trusted_keys` (PEM) that signed the envelope; its contents are for others to read.

    Raises VerificationError for a malformed envelope or an unusable key; no signature that fits is no error.
    """
    return frozenset(envelope_signatures(data, trusted_keys))


def envelope_signatures(data: bytes, trusted_keys: Sequence[bytes]) -> dict[str, bytes]:
    """The signatures by keys of `trusted_keys` (PEM), by `key_id`. Raises as `envelope_signers` does."""
    return _signatures(_read_envelope(data), _unique_keys(trusted_keys))


def peek_envelope(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The payload of an envelope, which nobody vouches for yet, and the signatures that it carries.

    Raises VerificationError for a malformed envelope.
    """
    envelope = _read_envelope(data)
    return envelope.payload, envelope.signatures


def _signatures(envelope: _Envelope, trusted: dict[str, PublicKey]) -> dict[str, bytes]:
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    found: dict[str, bytes] = {}
    for signature in envelope.signatures:
        # One vote a signature: a second key can be computed that fits the same ECDSA signature.
        name = next((name for name, key in trusted.items() if is_signed_by(key, signature, message)), None)
        if name is not None:
            found.setdefault(name, signature)
    return found


def _unique_keys(pems: Sequence[bytes]) -> dict[str, PublicKey]:
    """Trusted keys by key id, which is a digest of the key's own bytes."""
    keys: dict[str, PublicKey] = {}
    for position, pem in enumerate(pems, start=1):
        if not isinstance(pem, bytes):
            raise VerificationError(
                f"trusted key {position} is of type {type(pem).__name__}, expected PEM bytes", cause="keys"
            )
        try:
            key = load_public_key(pem)
        except VerificationError as error:
            raise VerificationError(f"trusted key {position}: {error}", hint=error.hint, cause="keys") from error
        keys[sha256_hex(subject_public_key_info(key))] = key
    return keys


def _read_envelope(data: bytes) -> _Envelope:
    root = parse_json(data, what=_WHAT)
    if not isinstance(root, dict):
        raise VerificationError(f"{_WHAT} is not a JSON object")
    payload = decode_base64(_text(root, "payload"), "payload")
    payload_type = _text(root, "payloadType")
    entries = root.get("signatures")
    if not isinstance(entries, list) or not entries:
        raise VerificationError(f"{_WHAT} carries no signatures")
    if len(entries) > MAX_SIGNATURES:
        raise VerificationError(f"{_WHAT} carries {len(entries)} signatures; at most {MAX_SIGNATURES} are read")
    signatures: list[bytes] = []
    hints: list[str] = []
    for position, entry in enumerate(entries):
        where = f"signatures[{position}]"
        if not isinstance(entry, dict):
            raise VerificationError(f"{_WHAT}: {where} is not an object")
        signatures.append(decode_base64(_text(entry, "sig", where), f"{where}.sig"))
        # protobuf writers spell an absent key id as null or "".
        if entry.get("keyid") is not None:
            hints.append(_text(entry, "keyid", where))
    return _Envelope(payload_type, payload, tuple(signatures), tuple(hint for hint in hints if hint))


def _text(members: dict[str, Json], key: str, where: str = "") -> str:
    value = members.get(key)
    if not isinstance(value, str):
        name = f"{where}.{key}" if where else key
        found = type(value).__name__ if key in members else "nothing"
        raise VerificationError(f"{_WHAT}: {name} must be a string, found {found}")
    return value


def encode_base64(data: bytes) -> str:
    """Padded base64 in the standard alphabet."""
    return base64.standard_b64encode(data).decode("ascii")


def decode_base64(text: str, where: str) -> bytes:
    """The bytes of padded base64 in one of its two alphabets; only the one spelling that an encoder would write.

    Raises VerificationError, naming `where`, for anything else.
    """
    for encode, altchars in ((base64.standard_b64encode, b"+/"), (base64.urlsafe_b64encode, b"-_")):
        try:
            decoded = base64.b64decode(text.encode("ascii"), altchars, validate=True)
        except (binascii.Error, UnicodeEncodeError):
            continue
        if encode(decoded) == text.encode("ascii"):
            return decoded
    raise VerificationError(f"{_WHAT}: {where} is not base64 (standard or URL-safe alphabet, padded, no spaces)")


def _too_few(
    envelope: _Envelope, trusted: dict[str, PublicKey], accepted: set[str], threshold: int
) -> VerificationError:
    keys = _count(len(trusted), "trusted key")
    claimed = next((hint for hint in envelope.hints if hint in trusted and hint not in accepted), None)
    if claimed is not None:
        detail = f"key {claimed[:16]}… is trusted, but the signature under its name does not fit the contents"
        hint = "the payload, its type or the signature was changed after signing, or another key signed"
    else:
        named = ", ".join(f"{name[:16]!a}…" for name in envelope.hints[:4])
        detail = f"the envelope hints at {named}" if named else "the envelope hints at no key"
        hint = "ask the signer for the public key, over a channel that you trust"
    if not accepted:
        return VerificationError(f"signed by none of the {keys}; {detail}", hint=hint, cause="signature")
    message = f"signed by {len(accepted)} of the {keys}, but {threshold} are required; {detail}"
    return VerificationError(message, hint=hint, cause="signature")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
