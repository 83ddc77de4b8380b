"""Attestation: what a verdict is about, who signed it, and how anyone can check both."""

from refute.attest.canonical import Json, canonical_json, parse_json, sha256_hex
from refute.attest.dsse import envelope_signers, sign_envelope, verify_envelope
from refute.attest.keys import (
    KeyPair,
    default_key_directory,
    development_key,
    generate_key,
    load_private_key,
)
from refute.attest.signature import PrivateKey, key_id, public_pem
from refute.attest.statement import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    Statement,
    build_statement,
    read_statement,
)
from refute.attest.subject import (
    ModelManifest,
    file_digest,
    hash_model,
    manifest_digest,
    model_digest,
)

__all__ = [
    "PAYLOAD_TYPE",
    "PREDICATE_TYPE",
    "Json",
    "KeyPair",
    "ModelManifest",
    "PrivateKey",
    "Statement",
    "build_statement",
    "canonical_json",
    "default_key_directory",
    "development_key",
    "envelope_signers",
    "file_digest",
    "generate_key",
    "hash_model",
    "key_id",
    "load_private_key",
    "manifest_digest",
    "model_digest",
    "parse_json",
    "public_pem",
    "read_statement",
    "sha256_hex",
    "sign_envelope",
    "verify_envelope",
]
