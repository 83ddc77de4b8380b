"""`model.sig`: a Sigstore bundle around an OpenSSF model-signing statement, to write and to read. Checks no signature.

The statement is that of Model Signing 1.0: one subject with the root digest, and every file by its SHA-256.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from refute.attest.canonical import Json, canonical_json, parse_json, sha256_hex
from refute.attest.dsse import sign_envelope
from refute.attest.model_manifest import IGNORED_PATHS, ModelManifest, Resource
from refute.attest.signature import PrivateKey, describe_key, public_pem
from refute.attest.sigstore_bundle import write_sigstore_bundle
from refute.attest.statement import PAYLOAD_TYPE
from refute.errors import UsageError, VerificationError

_WHAT = "model.sig"
# What `hash_model` leaves out, for readers that know paths, and no stars.
_LEFT_OUT = tuple(path for path in IGNORED_PATHS if "*" not in path)
MODEL_SIGNATURE_TYPE = "https://model_signing/signature/v1.0"


def write_model_signature(manifest: ModelManifest, name: str, beside: Sequence[str], key: PrivateKey) -> bytes:
    """A `model.sig` on `manifest`, the files of the model `name`; `beside` are paths that lie there, too, unsigned.

    Raises UsageError for a key on no elliptic curve: the format knows P-256, P-384 and P-521 alone.
    """
    if not isinstance(key.public_key(), EllipticCurvePublicKey):
        raise UsageError(
            f"model.sig cannot be signed with this key ({describe_key(key)}), expected ECDSA on P-256, P-384 or P-521",
            hint="openssl ecparam -name prime256v1 -genkey -noout -out model.key",
        )
    serialization = {**manifest.serialization(), "ignore_paths": sorted({*_LEFT_OUT, *beside})}
    statement: Json = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": manifest.root_digest}}],
        "predicateType": MODEL_SIGNATURE_TYPE,
        "predicate": {**manifest.as_json(), "serialization": serialization},
    }
    envelope = sign_envelope(canonical_json(statement), PAYLOAD_TYPE, [key])
    return write_sigstore_bundle(envelope, sha256_hex(public_pem(key)))


def read_model_signature(data: bytes) -> tuple[str, ModelManifest]:
    """The root digest that the signature is about, and the files that it lists, in the order given.

    Who signed is not looked at: that is for `model_signing verify`. Raises VerificationError for anything that is
    not such a bundle, or lists files by another digest than SHA-256 of whole files.
    """
    envelope = _object(_object(parse_json(data, what=_WHAT), "it").get("dsseEnvelope"), "dsseEnvelope")
    encoded = envelope.get("payload")
    try:
        payload = base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except ValueError as error:  # binascii's own, or characters beyond ASCII
        raise VerificationError(f"{_WHAT}: its payload is not base64: {error}") from error
    statement = _object(parse_json(payload, what=f"the payload of {_WHAT}"), "its payload")
    if statement.get("predicateType") != MODEL_SIGNATURE_TYPE:
        raise VerificationError(f"{_WHAT}: predicateType is not {MODEL_SIGNATURE_TYPE}")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise VerificationError(f"{_WHAT} must have exactly one subject")
    digest = _object(_object(subjects[0], "its subject").get("digest"), "the digest of its subject").get("sha256")
    resources = _object(statement.get("predicate"), "its predicate").get("resources")
    if not isinstance(digest, str) or not isinstance(resources, list):
        raise VerificationError(f"{_WHAT} has no sha256 digest, or no list of resources")
    return digest, ModelManifest(tuple(_resource(each) for each in resources))


def _resource(entry: Json) -> Resource:
    found = _object(entry, "a resource")
    name, digest = found.get("name"), found.get("digest")
    if found.get("algorithm") != "sha256" or not isinstance(name, str) or not isinstance(digest, str):
        raise VerificationError(
            f"{_WHAT} lists a resource that is not a file by its SHA-256",
            hint="sign with the method `files` and the hash type `sha256`, which are the defaults",
        )
    return Resource(name, digest)


def _object(value: Json, what: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise VerificationError(f"{_WHAT}: {what} is not a JSON object")
    return value
