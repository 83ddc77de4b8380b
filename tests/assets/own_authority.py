"""An authority of one's own: roots, authorities below them, and leaves, with any fault that is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "https://ci.example/org/small/release"
SIGNS = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
CERTIFIES = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO, FAR = NOW - timedelta(days=3650), NOW + timedelta(days=3650)
Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


def new_key() -> ec.EllipticCurvePrivateKey:
    """For whoever is certified."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """As a bundle holds the certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """As a file does."""
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Wanted:
    """What is certified, and how; by default what an authority below a root should be."""

    subject: str = "Issuing authority"
    names: tuple[x509.GeneralName, ...] = ()
    begins: datetime = LONG_AGO
    ends: datetime = FAR
    authority: bool = True
    path_length: int | None = None
    usage: x509.KeyUsage | None = CERTIFIES
    purposes: x509.ExtendedKeyUsage | None = None
    more: Extensions = ()
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)


def leaf(**changes: object) -> Wanted:
    """What signs verdicts, valid for a year around now."""
    name = x509.UniformResourceIdentifier(NAME)
    near = {"begins": NOW - timedelta(days=180), "ends": NOW + timedelta(days=180)}
    usual = {"subject": "Release job", "names": (name,), "authority": False, "usage": SIGNS, "purposes": CODE}
    return Wanted(**{**usual, **near, **changes})  # type: ignore[arg-type]  # fields by name


def certify(wanted: Wanted, issuer: Holder | None = None) -> Holder:
    """`wanted` certified by `issuer`, else by its own key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.subject)])
    by, signing = (issuer.certificate.subject, issuer.key) if issuer else (subject, wanted.key)
    path_length = wanted.path_length if wanted.authority else None
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(wanted.authority, path_length), True),
        (x509.SubjectKeyIdentifier.from_public_key(wanted.key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False),
        *wanted.more,
    ]
    extensions += [(wanted.usage, True)] if wanted.usage else []
    extensions += [(wanted.purposes, False)] if wanted.purposes else []
    extensions += [(x509.SubjectAlternativeName(wanted.names), False)] if wanted.names else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(wanted.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wanted.begins)
        .not_valid_after(wanted.ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Holder(builder.sign(signing, hashes.SHA256()), wanted.key)


def root(subject: str = "An organisation") -> Holder:
    """Signed by itself."""
    return certify(Wanted(subject=subject))
