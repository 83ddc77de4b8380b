"""A lock as a signed file: an in-toto statement about the release file, in a DSSE envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    canonical_json,
    key_id,
    parse_json,
    peek_envelope,
    read_statement,
    sign_envelope,
    verify_envelope,
)
from refute.errors import VerificationError
from refute.lock.model import Lock
from refute.spec.fields import first_fault

# Beside the verdict's, and named below `.invalid` for the same reason.
LOCK_TYPE = "https://refute.invalid/lock/v1"
SUFFIX = ".lock.intoto.json"


@dataclass(frozen=True, slots=True)
class SignedLock:
    """A lock that a trusted key signed; `payload_sha256` is its identity, `key_id` names the key."""

    lock: Lock
    payload_sha256: str
    key_id: str


def lock_path(release_file: Path) -> Path:
    """Where the lock of a release file lies unless another place is named: beside it, to be committed with it."""
    return release_file.with_name(release_file.stem + SUFFIX)


def timestamp_path(lock: Path) -> Path:
    """Where the timestamp of the lock at `lock` lies."""
    return lock.with_name(lock.name + ".tsr")


def sign_lock(lock: Lock, key: PrivateKey) -> bytes:
    """The envelope of `lock`, signed with `key`."""
    content = parse_json(lock.model_dump_json(by_alias=True).encode(), what="the lock")
    if not isinstance(content, dict):
        raise TypeError("a lock is a JSON object")
    release = lock.promise.release
    payload = build_statement(release.content.release, release.sha256, content, predicate_type=LOCK_TYPE)
    return sign_envelope(payload, PAYLOAD_TYPE, [key])


def read_lock(envelope: bytes, trusted_keys: Sequence[bytes]) -> SignedLock:
    """The lock in `envelope`. Raises VerificationError unless one of `trusted_keys` (PEM) signed it and it is one."""
    payload_type, payload = verify_envelope(envelope, trusted_keys)
    lock, payload_sha256 = _read(payload_type, payload)
    return SignedLock(lock, payload_sha256, _signer(envelope, trusted_keys))


def peek_lock(envelope: bytes) -> tuple[Lock, str]:
    """The lock in `envelope`, which nobody vouches for yet, and its payload's digest. Raises VerificationError."""
    payload, _ = peek_envelope(envelope)
    return _read(PAYLOAD_TYPE, payload)


def _read(payload_type: str, payload: bytes) -> tuple[Lock, str]:
    statement = read_statement(payload_type, payload, predicate_type=LOCK_TYPE)
    try:
        lock = Lock.model_validate_json(canonical_json(statement.predicate))
    except ValidationError as error:
        raise VerificationError(f"the predicate is not a lock: {first_fault(error)}") from error
    release = lock.promise.release
    if (statement.subject_name, statement.subject_sha256) != (release.content.release, release.sha256):
        raise VerificationError("the lock's subject is not the release that it locks")
    return lock, statement.payload_sha256


def _signer(envelope: bytes, trusted_keys: Sequence[bytes]) -> str:
    """The first trusted key that signed; `verify_envelope` has shown that there is one."""
    for pem in trusted_keys:
        try:
            verify_envelope(envelope, [pem])
        except VerificationError:
            continue
        return key_id(pem)
    raise VerificationError("no single trusted key signed the lock")


def checked_pem(pem: bytes) -> str:
    """A public key as text, once it is one that locks can be checked with. Raises VerificationError otherwise."""
    key_id(pem)
    return pem.decode("ascii", "ignore")  # PEM is ASCII; what else the file says is no part of the key
