"""Bytes and who vouches for them: canonical JSON, DSSE, keys, in-toto statements, model digests.

Imports the words (errors, outcome, disk ...) and nothing else of refute.
"""

from refute.attest.canonical import Json, canonical_json, parse_json, sha256_hex
from refute.attest.dsse import (
    countersign_envelope,
    envelope_signatures,
    envelope_signers,
    peek_envelope,
    sign_envelope,
    verify_envelope,
)
from refute.attest.keys import (
    default_key_directory,
    development_key,
    generate_key,
    load_private_key,
    require_key_folder,
)
from refute.attest.model_manifest import (
    SIGNATURE_FILE,
    ModelManifest,
    Resource,
    hash_model,
    is_left_out,
    manifest_of_digests,
    model_digest,
)
from refute.attest.model_signature import read_model_signature, write_model_signature
from refute.attest.signature import PrivateKey, key_id, public_pem
from refute.attest.sigstore_bundle import (
    SigstoreBundle,
    find_sigstore_bundle,
    open_envelope,
    read_sigstore_bundle,
    write_sigstore_bundle,
)
from refute.attest.statement import PAYLOAD_TYPE, PREDICATE_TYPE, Statement, build_statement, read_statement

__all__ = [
    "PAYLOAD_TYPE",
    "PREDICATE_TYPE",
    "SIGNATURE_FILE",
    "Json",
    "ModelManifest",
    "PrivateKey",
    "Resource",
    "SigstoreBundle",
    "Statement",
    "build_statement",
    "canonical_json",
    "countersign_envelope",
    "default_key_directory",
    "development_key",
    "envelope_signatures",
    "envelope_signers",
    "find_sigstore_bundle",
    "generate_key",
    "hash_model",
    "is_left_out",
    "key_id",
    "load_private_key",
    "manifest_of_digests",
    "model_digest",
    "open_envelope",
    "parse_json",
    "peek_envelope",
    "public_pem",
    "read_model_signature",
    "read_sigstore_bundle",
    "read_statement",
    "require_key_folder",
    "sha256_hex",
    "sign_envelope",
    "verify_envelope",
    "write_model_signature",
    "write_sigstore_bundle",
]
