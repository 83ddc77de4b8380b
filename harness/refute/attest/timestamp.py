"""Timestamps by RFC 3161: an authority signs that it has seen a digest at a moment of its own clock.

The requests, the parsing and the check of the authority's certificates are `rfc3161-client`'s (extra `sigstore`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import Any

from refute.attest.canonical import sha256_hex
from refute.attest.certificate import load_certificate
from refute.errors import MissingDependencyError, ServiceError, UsageError, VerificationError

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"  # RFC 3161, section 3.4
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Timestamp:
    """`authority` (the subject of its certificate) saw the data at `moment`, by its clock."""

    moment: datetime
    authority: str


def request_timestamp(url: str, data: bytes, *, timeout_s: float = 30.0) -> bytes:
    """The answer of the authority at `url` for the SHA-256 of `data`, in DER. By whom it is signed is not checked.

    Raises MissingDependencyError without the extra, UsageError for what is no address, ServiceError where the authority
    cannot be reached or refuses, or answers about something else.
    """
    import urllib.request  # it loads TLS and mail, and whoever reads a policy comes by here

    client = _client()
    builder = client.TimestampRequestBuilder().data(data).hash_algorithm(client.HashAlgorithm.SHA256)
    query = builder.cert_request(cert_request=True).nonce(nonce=True).build()
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no address of a timestamp authority", hint="such as https://host/path")
    request = urllib.request.Request(url, query.as_bytes(), {"Content-Type": _QUERY, "Accept": _REPLY})  # noqa: S310  # above
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310  # above
            answer: bytes = reply.read(_LARGEST)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"the timestamp authority at {url} gave no timestamp: {error}",
            hint="run the command again, or name another authority",
        ) from error
    try:
        found = _parse(client, answer)
        _check_answer(client, found, data)
        if found.tst_info.nonce != query.nonce:
            raise VerificationError("it is the answer to another question")
    except VerificationError as error:
        raise ServiceError(
            f"the timestamp authority at {url} gave no timestamp: {error}", hint="name another authority"
        ) from error
    return answer


def read_timestamp(answer: bytes, data: bytes, roots: Sequence[bytes]) -> Timestamp:
    """When `data` was seen, from an authority whose certificate leads to one of `roots` (PEM certificates).

    Raises VerificationError unless `answer` is such a timestamp of exactly `data`, UsageError for a root that is no
    certificate, MissingDependencyError without the extra.
    """
    client = _client()
    builder = client.VerifierBuilder()
    for pem in roots:
        builder = builder.add_root_certificate(load_certificate(pem))
    found = _parse(client, answer)
    # A stranger's bytes: besides its own error the library raises what parsers of certificates raise.
    try:
        _check_answer(client, found, data)
        builder.build().verify(found, hashlib.sha256(data).digest())
        return Timestamp(found.tst_info.gen_time.astimezone(UTC), _authority(found))
    except VerificationError as error:
        raise VerificationError(f"not a timestamp of this file: {error}", cause="timestamp") from error
    except Exception as error:
        said = str(error).partition(": ErrorStack")[0]  # behind it the library prints the stack of OpenSSL
        raise VerificationError(
            f"not a timestamp of this file: no authority under the given roots signed it: {said}",
            hint="name the root certificate of the authority that was asked",
            cause="timestamp",
        ) from error


def _client() -> ModuleType:
    try:
        return import_module("rfc3161_client")
    except ImportError as error:
        raise MissingDependencyError("timestamps", "sigstore") from error


def _parse(client: ModuleType, answer: bytes) -> Any:
    try:
        return client.decode_timestamp_response(answer)
    # It is a parser in Rust: a panic is no Exception of Python's own.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise VerificationError(f"no answer of a timestamp authority: {error}", cause="timestamp") from error


def _check_answer(client: ModuleType, found: Any, data: bytes) -> None:
    """Raises VerificationError unless the authority granted a timestamp of the SHA-256 of `data`."""
    if found.status != int(client.PKIStatus.GRANTED):
        raise VerificationError(f"status {found.status}: {'; '.join(found.status_string) or 'no reason given'}")
    imprint = found.tst_info.message_imprint
    if imprint.hash_algorithm.dotted_string != "2.16.840.1.101.3.4.2.1":  # id-sha256, RFC 5754
        raise VerificationError(f"its digest is of the kind {imprint.hash_algorithm.dotted_string}, not SHA-256")
    wanted = sha256_hex(data)
    if imprint.message.hex() != wanted:
        raise VerificationError(f"it is of SHA-256 {imprint.message.hex()}, not {wanted}")


def _authority(found: Any) -> str:
    """The subject of the certificate that signed; the library has shown that there is one."""
    from cryptography.x509 import load_der_x509_certificate

    (signer,) = found.signed_data.signer_infos
    for der in found.signed_data.certificates:
        certificate = load_der_x509_certificate(der)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate.subject.rfc4514_string()
    return ""
