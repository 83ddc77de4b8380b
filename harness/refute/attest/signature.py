"""One signature by one key: Ed25519, or ECDSA over P-256, P-384 and P-521; nothing else is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from refute.attest.canonical import sha256_hex
from refute.errors import UsageError, VerificationError
from refute.interrupt import check

PublicKey: TypeAlias = Ed25519PublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A private key that never comes here, such as one in an HSM: its public half, and whoever signs with it."""

    public: PublicKey
    sign: Callable[[bytes], bytes]

    def public_key(self) -> PublicKey:
        """The public half, as the keys of `cryptography` give it."""
        return self.public


PrivateKey: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | RemoteKey
ACCEPTED_KEYS = "Ed25519 or ECDSA over P-256, P-384 or P-521"

# Ed25519's field, and the y of the eight points whose order divides 8 (RFC 8032, section 5.1). For such a key anybody
# can compute signatures that fit, and OpenSSL verifies them.
_FIELD = 2**255 - 19
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})

# Each curve with the hash of its own strength, as securesystemslib and OpenSSF model signing pair them.
_CURVE_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


def load_public_key(pem: bytes) -> PublicKey:
    """The public key in `pem`, which holds exactly one PEM block (SubjectPublicKeyInfo).

    Raises VerificationError for anything else: a private key, a certificate, RSA, another curve, two blocks; and for an
    Ed25519 key that is no point of the curve's large group, or that is not spelt as RFC 8032 spells it.
    """
    if b"PRIVATE KEY-----" in pem:
        raise VerificationError("a private key was given where a public key is expected", hint="give the .pub file")
    blocks = pem.count(b"-----BEGIN ")
    if blocks != 1:
        raise VerificationError(f"expected one PEM public key, found {blocks} PEM blocks")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationError(f"not a PEM public key: {error}") from error
    if isinstance(key, Ed25519PublicKey):
        _require_own_key(key)
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_HASHES:
        return key
    raise VerificationError(f"unsupported public key ({describe_key(key)}); expected {ACCEPTED_KEYS}")


def _require_own_key(key: Ed25519PublicKey) -> None:
    y = int.from_bytes(key.public_bytes_raw(), "little") % 2**255
    fault = "of small order" if y in _SMALL_ORDER else "not spelt in its one way" if y >= _FIELD else ""
    if fault:
        raise VerificationError(
            f"the Ed25519 public key is {fault}: anybody could sign for it", hint="ask whose key it is for another"
        )


def describe_key(key: object) -> str:
    """The kind of `key` for messages, such as `ECDSA over secp256k1` or `RSAPublicKey`."""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return f"ECDSA over {key.curve.name}"
    return type(key).__name__


def is_accepted(key: object) -> TypeGuard[PrivateKey]:
    """Whether `key` is a private key that this module signs with."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.curve.name in _CURVE_HASHES
    return isinstance(key, Ed25519PrivateKey | RemoteKey)


def subject_public_key_info(key: PublicKey) -> bytes:
    """The DER form of `key`, the same bytes for every PEM that spells this key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: PrivateKey) -> bytes:
    """The PEM of the public half of `key`."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(pem: bytes) -> str:
    """SHA-256, in hexadecimal, of the SubjectPublicKeyInfo DER of the public key in `pem`."""
    return sha256_hex(subject_public_key_info(load_public_key(pem)))


def sign_message(key: PrivateKey, message: bytes) -> bytes:
    """The signature of `message`: 64 bytes from Ed25519, DER from ECDSA. The key's kind must be accepted.

    Raises UsageError when what a remote key returns is no signature by it, KeyboardInterrupt after a Ctrl-C: nothing is
    signed for somebody who took it back.
    """
    check()
    if isinstance(key, RemoteKey):
        return _sign_remotely(key, message)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, _ecdsa(key.curve))


def _sign_remotely(key: RemoteKey, message: bytes) -> bytes:
    signature = key.sign(message)
    if not is_signed_by(key.public, signature, message):
        raise UsageError(
            f"what came back is no signature by the public key that was given ({describe_key(key.public)})",
            hint="the public key must belong to the private key, and sign messages as DSSE asks, without a prehash",
        )
    return signature


def is_signed_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is one by `key` over `message`; ECDSA as DER or as raw r || s (IEEE P1363)."""
    if isinstance(key, Ed25519PublicKey):
        return _ed25519_verifies(key, signature, message)
    return _ecdsa_verifies(key, _as_der(key, signature), message)


def _as_der(key: ec.EllipticCurvePublicKey, signature: bytes) -> bytes:
    """Raw r || s is told by its length, which a DER signature has once in about 2^40."""
    size = (key.key_size + 7) // 8
    if len(signature) != 2 * size:
        return signature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _ecdsa(curve: ec.EllipticCurve) -> ec.ECDSA:
    return ec.ECDSA(_CURVE_HASHES[curve.name]())


def _ecdsa_verifies(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, _ecdsa(key.curve))
    except InvalidSignature:
        return False
    return True


def _ed25519_verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
