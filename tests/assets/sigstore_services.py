"""Sigstore's services on loopback: an OIDC issuer's tokens, Fulcio with a log of certificates, and Rekor 1, or Rekor 2
with a clock."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from timestamp_authority import Authority

ISSUER = "https://issuer.example"
# fulcio/docs/oid-info.md: the issuer as bare text, and as a DER string.
_ISSUER_EXTENSION, _ISSUER_EXTENSION_2 = (x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{n}") for n in (1, 8))
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")  # RFC 6962, section 3.3
_BEGAN = datetime(2020, 1, 1, tzinfo=UTC)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _spki(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def token(name: str, issuer: str = ISSUER, lasts: timedelta = timedelta(minutes=5)) -> str:
    """What an OIDC issuer gives somebody of this name. Fulcio looks at its signature; this double does not."""
    now = datetime.now(UTC)
    claims = {"iss": issuer, "sub": name, "aud": "sigstore", "iat": now.timestamp(), "exp": (now + lasts).timestamp()}
    parts = [{"alg": "ES256", "typ": "JWT"}, {**claims, "iat": int(now.timestamp()) - 1}]
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"signed").rstrip(b"=").decode()])


@dataclass
class Services:
    """Keys, a root certificate, and what was logged. `refuses`: the paths that answer with status 500. `rekor` is its
    version; of the second, `clock` says when it was, as its log does not."""

    url: str = ""
    rekor: int = 1
    clock: Authority = field(default_factory=Authority)
    refuses: set[str] = field(default_factory=set)
    logged: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root_key, self._ct_key, self._rekor_key = _key(), _key(), _key()
        self._tiles_key = Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._root_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGAN)
            .not_valid_after(datetime.now(UTC) + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._root_key.public_key()), critical=False)
            .sign(self._root_key, hashes.SHA256())
        )

    def trust(self) -> dict[str, Any]:
        """A trusted root, as protobuf has it in JSON."""
        period = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": period,
                },
                "logId": {"keyId": _b64(hashlib.sha256(_spki(key)).digest())},
            }

        def authority(*certificates: bytes) -> dict[str, Any]:
            return {
                "subject": {"organization": "tests", "commonName": "An authority"},
                "uri": self.url,
                "certChain": {"certificates": [{"rawBytes": _b64(each)} for each in certificates]},
                "validFor": period,
            }

        tiles = {
            **log(self._rekor_key),
            "publicKey": {"rawBytes": _b64(_spki(self._tiles_key)), "keyDetails": "PKIX_ED25519", "validFor": period},
            "logId": {"keyId": _b64(self._tiles_id)},
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._rekor_key) if self.rekor == 1 else tiles],
            "certificateAuthorities": [authority(self._root.public_bytes(Encoding.DER))],
            "ctlogs": [log(self._ct_key)],
            "timestampAuthorities": [authority(*self.clock.chain)] if self.rekor == 2 else [],
        }

    def write(self, folder: Path) -> tuple[Path, Path]:
        """A trust configuration and the trusted root in it, as files."""

        def service(version: int, path: str = "") -> dict[str, Any]:
            valid = {"start": "2020-01-01T00:00:00Z"}
            return {"url": self.url + path, "majorApiVersion": version, "validFor": valid, "operator": "tests"}

        config = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trust(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service(1)],
                "oidcUrls": [service(1)],
                "rekorTlogUrls": [service(self.rekor)],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [service(1, "/clock")] if self.rekor == 2 else [],
                "tsaConfig": {"selector": "ANY"},
            },
        }
        paths = folder / "trust-config.json", folder / "trusted-root.json"
        for path, content in zip(paths, (config, self.trust()), strict=True):
            path.write_text(json.dumps(content), encoding="utf-8")
        return paths

    def certify(self, request: Mapping[str, Any], bearer: str) -> dict[str, Any]:
        """Fulcio: a certificate for the key of a request, in the name of whoever the token is of."""
        pem = base64.b64decode(request["certificateSigningRequest"])
        claims = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))
        builder = self._leaf(x509.load_pem_x509_csr(pem).public_key(), claims["sub"], claims["iss"])
        # Signed twice: the log signs what the certificate says without the log's own word.
        bare = builder.sign(self._root_key, hashes.SHA256())
        logged = x509.UnrecognizedExtension(_SCT_LIST, self._sct(bare))
        leaf = builder.add_extension(logged, critical=False).sign(self._root_key, hashes.SHA256())
        chain = [each.public_bytes(Encoding.PEM).decode() for each in (leaf, self._root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _leaf(self, public: Any, name: str, issuer: str) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        text = issuer.encode()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(minutes=10))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root_key.public_key()), critical=False
            )
            .add_extension(x509.UnrecognizedExtension(_ISSUER_EXTENSION, text), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_EXTENSION_2, bytes([0x0C, len(text)]) + text), critical=False
            )
        )

    def _sct(self, certificate: x509.Certificate) -> bytes:
        """A SignedCertificateTimestampList with one entry, in DER (RFC 6962, sections 3.2 and 3.3)."""
        moment = int(datetime.now(UTC).timestamp() * 1000)
        tbs = certificate.tbs_certificate_bytes
        entry = hashlib.sha256(_spki(self._root_key)).digest() + len(tbs).to_bytes(3, "big") + tbs
        signature = _sign(self._ct_key, struct.pack("!BBQH", 0, 0, moment, 1) + entry + b"\0\0")
        log = hashlib.sha256(_spki(self._ct_key)).digest()
        timestamp = struct.pack("!B32sQHBBH", 0, log, moment, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp
        return (bytes([0x04, len(listed)]) if len(listed) < 128 else bytes([0x04, 0x81, len(listed)])) + listed

    def log(self, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """Rekor: an entry about an envelope, in a log of its own, with promise, proof and checkpoint."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        (verifier,) = content["verifiers"]
        payload = base64.b64decode(envelope["payload"])
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {
                        "algorithm": "sha256",
                        "value": hashlib.sha256(content["envelope"].encode()).hexdigest(),
                    },
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": each["sig"], "verifier": verifier} for each in envelope["signatures"]],
                },
            }
        )
        self.logged.append(body)
        log_id = hashlib.sha256(_spki(self._rekor_key)).digest()
        entry: dict[str, int | str] = {
            "body": _b64(body),
            "integratedTime": int(datetime.now(UTC).timestamp()),
            "logID": log_id.hex(),
            "logIndex": 0,
        }
        root = hashlib.sha256(b"\0" + body).digest()  # of a tree with one leaf (RFC 6962, section 2.1)
        note = f"log.example - 1\n1\n{_b64(root)}\n"
        signed = _b64(log_id[:4] + _sign(self._rekor_key, note.encode()))
        proof = {
            "checkpoint": f"{note}\n\u2014 log.example {signed}\n",
            "hashes": [],
            "logIndex": 0,
            "rootHash": root.hex(),
            "treeSize": 1,
        }
        promise = _b64(_sign(self._rekor_key, rfc8785.dumps(entry)))
        return {"0" * 64: {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    @property
    def _tiles_id(self) -> bytes:
        """As a signed note names an Ed25519 key (c2sp.org/signed-note)."""
        return hashlib.sha256(b"log.example\n\x01" + self._tiles_key.public_key().public_bytes_raw()).digest()

    def tile(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Rekor version 2: the entry that a client proposed."""
        asked = request["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": asked["digest"]}
        return self.entry({"hashedRekordV002": {"data": data, "signature": asked["signature"]}})

    def entry(self, spec: Mapping[str, Any], kind: str = "hashedrekord", version: str = "0.0.2") -> dict[str, Any]:
        """An entry with this content, in a log of two, with a proof and a checkpoint, and without a time."""
        body = rfc8785.dumps({"apiVersion": version, "kind": kind, "spec": dict(spec)})
        self.logged.append(body)
        first, own = hashlib.sha256(b"\0first").digest(), hashlib.sha256(b"\0" + body).digest()
        root = hashlib.sha256(b"\1" + first + own).digest()
        note = f"log.example\n2\n{_b64(root)}\n"
        signed = _b64(self._tiles_id[:4] + self._tiles_key.sign(note.encode()))
        return {
            "logIndex": "1",
            "logId": {"keyId": _b64(self._tiles_id)},
            "kindVersion": {"kind": kind, "version": version},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": _b64(root),
                "treeSize": "2",
                "hashes": [_b64(first)],
                "checkpoint": {"envelope": f"{note}\n\u2014 log.example {signed}\n"},
            },
            "canonicalizedBody": _b64(body),
        }


@contextmanager
def serving(services: Services) -> Iterator[Services]:
    """The services, reachable at their `url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path in services.refuses:
                self.send_error(500)
                return
            if self.path == "/clock":
                self._answer(services.clock.answer(sent), "application/timestamp-reply")
                return
            bearer = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            content = json.loads(sent)
            if "signingCert" in self.path:
                answer = services.certify(content, bearer)
            else:
                answer = services.log(content) if services.rekor == 1 else services.tile(content)
            self._answer(json.dumps(answer).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(201)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    services.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
