"""Where a verdict is signed: its predicate becomes an in-toto statement in a DSSE envelope, written beside the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    envelope_signatures,
    parse_json,
    public_pem,
    sha256_hex,
    sign_envelope,
)
from refute.attest.timestamp import request_timestamp
from refute.disk import write_whole
from refute.judge.predicate.bundle import write_bundle
from refute.judge.predicate.model import Predicate
from refute.judge.run.verdict_files import VerdictFiles, put_verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A signed verdict on disk."""

    predicate: Predicate
    payload_sha256: str
    files: VerdictFiles

    @property
    def path(self) -> Path:
        """The verdict's file."""
        return self.files.verdict


def sign_verdict(predicate: Predicate, key: PrivateKey, folder: Path, authority: str | None = None) -> Judged:
    """Sign `predicate`, which must hold, and write envelope, bundle and public key under the next name in `folder`.

    With `authority`, the URL of an RFC 3161 service, what that says of the signature is written, too; where it says
    nothing, nothing is written. Raises as `disk.unwritable` says, and what a remote key and `request_timestamp` raise.
    """
    content = parse_json(predicate.model_dump_json().encode())
    if not isinstance(content, dict):
        raise TypeError("a predicate is a JSON object")
    payload = build_statement(predicate.subject.name, predicate.subject.sha256, content)
    envelope = sign_envelope(payload, PAYLOAD_TYPE, [key])
    stamp = _timestamp(envelope, public_pem(key), authority) if authority else None
    files = put_verdict(folder, envelope)
    write_whole(files.bundle, write_bundle(envelope, predicate, sha256_hex(payload), [key]))
    write_whole(files.key, public_pem(key))
    if stamp is not None:
        write_whole(files.timestamp, stamp)
    return Judged(predicate, sha256_hex(payload), files)


def _timestamp(envelope: bytes, public: bytes, authority: str) -> bytes:
    """Of the signature, as Sigstore has it: an envelope's text may change, and gain signatures."""
    (signature,) = envelope_signatures(envelope, [public]).values()
    return request_timestamp(authority, signature)
