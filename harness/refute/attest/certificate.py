"""Certificates under an organisation's own authority (X.509): whose key signed, where no Sigstore instance vouches.

Paths, validity, name constraints and the profile of RFC 5280 are `cryptography`'s to check; what is asked here beyond
that: a certificate that may sign code, a chain in its order and without others in it, and the name that is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from refute.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from cryptography.x509.verification import ClientVerifier, ExtensionPolicy


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # of a URI (RFC 3986, section 3.1)


@dataclass(frozen=True, slots=True)
class CertifiedName:
    """Whom a certificate must name, an email or a URI (subjectAltName), and the `authorities` (PEM), roots or below,
    one of which must have vouched for them. Raises UsageError where one of them is empty, or no authority's."""

    name: str
    authorities: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not (self.name and self.authorities):
            raise UsageError("an identity is a name and whoever vouches for it", hint="give --identity and --ca")
        for pem in self.authorities:
            load_authority(pem)


def load_certificate(pem: bytes) -> Certificate:
    """The one certificate in `pem`. Raises UsageError for anything else."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        (found,) = load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UsageError(
            f"no certificate in PEM, or several: {error}", hint="name the authority's certificate, one a file"
        ) from error
    return found


def load_chain(pems: bytes, name: str) -> tuple[bytes, ...]:
    """The certificates (DER) in the file `name`, one after the other. Raises UsageError where there is none."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(each.public_bytes(Encoding.DER) for each in load_pem_x509_certificates(pems))
    except ValueError as error:
        raise UsageError(
            f"{name} holds no certificates: {error}", hint="name a PEM file, the signer's first"
        ) from error


def certified_key(chain: Sequence[bytes]) -> bytes:
    """The public key (PEM) in the first certificate of `chain` (DER), which nobody vouches for yet."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    return (
        load_der_x509_certificate(chain[0]).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def load_authority(pem: bytes) -> Certificate:
    """The certificate in `pem` of whoever may issue others. Raises UsageError for anything else."""
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    found = load_certificate(pem)
    try:
        if found.extensions.get_extension_for_class(BasicConstraints).value.ca:
            return found
    except (ExtensionNotFound, ValueError):
        pass
    raise UsageError(
        f"the certificate of {found.subject.rfc4514_string()!a} is no authority's",
        hint="name the certificate that issued the signer's, or one above it",
    )


def key_of_certificate(chain: Sequence[bytes], trusted: CertifiedName, moments: Sequence[datetime]) -> bytes:
    """The public key (PEM) of the first certificate of `chain` (DER), once it is shown to be of the trusted name.

    The chain must lead, in its order, to one of the authorities, which may be left out of it, at each of `moments`
    (aware, at least one). The leaf must be for signatures and for code signing. Revocation is not asked for. Raises
    VerificationError where something of it does not hold.
    """
    from cryptography.x509 import load_der_x509_certificate

    if not moments:
        raise ValueError("a certificate is valid at some moment or other")
    try:
        certificates = [load_der_x509_certificate(each) for each in chain]
        _require_order(certificates)
        for moment in moments:
            _require_path(certificates, _verifier(trusted.authorities, moment), moment)
        _require_name(certificates[0], trusted.name)
        return certified_key(chain)
    except Exception as error:  # a stranger's bytes: besides its own errors the library raises those of its parsers
        raise VerificationError(
            f"not signed by {trusted.name}: {error}",
            hint="compare the name, the authority and the moment of signing with the certificates of the bundle",
            cause="signature",
        ) from error


def _require_order(certificates: Sequence[Certificate]) -> None:
    if not certificates:
        raise VerificationError("it holds no certificate")
    for number, (below, above) in enumerate(pairwise(certificates), start=2):
        try:
            below.verify_directly_issued_by(above)
        except Exception as error:  # the library's errors have no base in common
            raise VerificationError(f"certificate {number} of its chain did not issue the one before it") from error


def _require_path(certificates: Sequence[Certificate], verifier: ClientVerifier, moment: datetime) -> None:
    """The library may find another path than the chain, over a certificate that was signed across: that is none."""
    given = list(certificates)
    path = verifier.verify(given[0], given[1:]).chain
    if given[: len(path)] != path and given != path[:-1]:
        raise VerificationError(f"the path that leads to an authority at {moment} is not the bundle's chain")


def _require_name(leaf: Certificate, name: str) -> None:
    """An email as an email, a URI as a URI: who may certify some emails alone may certify any text as a URI."""
    from cryptography.x509 import RFC822Name, SubjectAlternativeName, UniformResourceIdentifier

    kind, word = (UniformResourceIdentifier, "URI") if _SCHEME.match(name) else (RFC822Name, "email")
    found = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(kind)
    if name not in found:
        raise VerificationError(f"the certificate names {', '.join(map(ascii, found)) or 'no'} as its {word}")


def _verifier(authorities: Sequence[bytes], moment: datetime) -> ClientVerifier:
    from cryptography.x509.verification import PolicyBuilder, Store

    leaf, authority = _profiles()
    store = Store([load_authority(pem) for pem in authorities])
    builder = PolicyBuilder().store(store).time(moment)
    return builder.extension_policies(ca_policy=authority, ee_policy=leaf).build_client_verifier()


def _profiles() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """What a leaf's and an authority's extensions must be: the library's defaults, but for signing code."""
    from cryptography.x509 import ExtendedKeyUsage, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    def signs(_policy: object, _certificate: object, usage: KeyUsage) -> None:
        if not usage.digital_signature or usage.key_cert_sign:
            raise ValueError("the key usage is not digitalSignature")

    def signs_code(_policy: object, _certificate: object, usage: ExtendedKeyUsage | None) -> None:
        if usage is not None and ExtendedKeyUsageOID.CODE_SIGNING not in usage:
            raise ValueError("the extended key usage is not codeSigning")

    either = Criticality.AGNOSTIC
    leaf = ExtensionPolicy.webpki_defaults_ee().require_present(KeyUsage, either, signs)
    leaf = leaf.require_present(ExtendedKeyUsage, either, signs_code)
    return leaf, ExtensionPolicy.webpki_defaults_ca().may_be_present(ExtendedKeyUsage, either, signs_code)
