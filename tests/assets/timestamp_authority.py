"""A timestamp authority for tests: RFC 3161 answers, built by hand in DER and signed, over HTTP on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SHA256, RSA = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.1"
SIGNED_DATA, TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
POLICY = "1.2.3.4.1"
SEQUENCE, SET, INTEGER, OCTETS, OID, TIME, NULL, ZERO = 0x30, 0x31, 0x02, 0x04, 0x06, 0x18, 0x05, 0xA0


def der(tag: int, *parts: bytes) -> bytes:
    """One element of DER (X.690)."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(number: int) -> bytes:
    """INTEGER, not negative."""
    return der(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytes([first * 40 + second])
    for number in rest:
        chunk = [number & 0x7F]
        while number := number >> 7:
            chunk.insert(0, number & 0x7F | 0x80)
        content += bytes(chunk)
    return der(OID, content)


@dataclass
class Authority:
    """Its root certificate, and answers signed by a certificate below it; `clock` says what time it is there."""

    name: str = "A clock"
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self._root_key, self._key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        self.root = self._certify(f"{self.name}, root", f"{self.name}, root", self._root_key, authority=True)
        self._certificate = self._certify(self.name, f"{self.name}, root", self._key, authority=False)

    @property
    def root_pem(self) -> bytes:
        """What somebody who trusts it has."""
        return self.root.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> tuple[bytes, bytes]:
        """What signs its answers, and its root (DER)."""
        return self._certificate.public_bytes(Encoding.DER), self.root.public_bytes(Encoding.DER)

    def answer(self, query: bytes) -> bytes:
        """TimeStampResp for a TimeStampReq."""
        imprint, nonce = _asked(query)
        return self.stamp(imprint, nonce)

    def stamp(self, digest: bytes, nonce: bytes | None = None) -> bytes:
        """TimeStampResp that grants a token for a SHA-256."""
        algorithm = der(SEQUENCE, oid(SHA256), der(NULL))
        moment = self.clock().strftime("%Y%m%d%H%M%SZ").encode()
        info = der(
            SEQUENCE,
            *(integer(1), oid(POLICY), der(SEQUENCE, algorithm, der(OCTETS, digest)), integer(7), der(TIME, moment)),
            nonce or b"",
        )
        return der(SEQUENCE, der(SEQUENCE, integer(0)), self._signed(info, algorithm))

    def _signed(self, info: bytes, algorithm: bytes) -> bytes:
        certificate = self._certificate.public_bytes(Encoding.DER)
        fingerprint = der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, der(OCTETS, hashlib.sha256(certificate).digest()))))
        attributes = [
            der(SEQUENCE, oid(CONTENT_TYPE), der(SET, oid(TST_INFO))),
            der(SEQUENCE, oid(MESSAGE_DIGEST), der(SET, der(OCTETS, hashlib.sha256(info).digest()))),
            der(SEQUENCE, oid(SIGNING_CERTIFICATE), der(SET, fingerprint)),
        ]
        ordered = b"".join(sorted(attributes))
        signature = self._key.sign(der(SET, ordered), padding.PKCS1v15(), hashes.SHA256())
        issuer = self._certificate.issuer.public_bytes()
        signer = der(
            SEQUENCE,
            *(integer(1), der(SEQUENCE, issuer, integer(self._certificate.serial_number)), algorithm),
            *(der(ZERO, ordered), der(SEQUENCE, oid(RSA), der(NULL)), der(OCTETS, signature)),
        )
        content = der(SEQUENCE, oid(TST_INFO), der(ZERO, der(OCTETS, info)))
        certificates = der(ZERO, certificate)
        data = der(SEQUENCE, integer(3), der(SET, algorithm), content, certificates, der(SET, signer))
        return der(SEQUENCE, oid(SIGNED_DATA), der(ZERO, data))

    def _certify(self, subject: str, issuer: str, key: rsa.RSAPrivateKey, *, authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime.now(UTC) + timedelta(days=36_500))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
            builder = builder.add_extension(stamping, critical=True)
        return builder.sign(self._root_key, hashes.SHA256())


def _asked(query: bytes) -> tuple[bytes, bytes | None]:
    """The digest and the encoded nonce in a TimeStampReq whose imprint is a SHA-256."""
    mark = der(SEQUENCE, oid(SHA256), der(NULL)) + bytes([OCTETS, 32])
    start = query.index(mark) + len(mark) if mark in query else query.index(bytes([OCTETS, 32])) + 2
    rest = query[start + 32 :]
    nonce = rest[: 2 + rest[1]] if rest and rest[0] == INTEGER else None
    return query[start : start + 32], nonce


@contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The address at which `answer` is given to every query."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
