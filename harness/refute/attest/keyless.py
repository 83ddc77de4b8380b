"""Signatures by an identity instead of a kept key: a certificate authority vouches for a key that lives for minutes.

The protocol, OIDC to Fulcio to Rekor, and every check of certificates and logs are `sigstore`'s (the extra of that
name). Files in the formats of github.com/sigstore/protobuf-specs (trust configuration, trusted root) point it at
services of one's own; without them it is Sigstore's public instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

from refute.disk import read_regular
from refute.errors import (
    MissingDependencyError,
    RefuteError,
    ServiceError,
    UnreadableInputError,
    UsageError,
    VerificationError,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate must name, an email or a URI, and the OIDC issuer (a URL) who must have vouched for them.

    Raises UsageError where one of them is empty: anybody has the same name at an issuer of their own.
    """

    name: str
    issuer: str

    def __post_init__(self) -> None:
        if not (self.name and self.issuer):
            raise UsageError("an identity is a name and its issuer", hint="give --identity and --issuer")


def sign_by_identity(statement: bytes, token: str | None, trust_config: Path | None = None) -> bytes:
    """A Sigstore bundle around an in-toto `statement`, signed with a key that is made for it and thrown away.

    `token` is an OIDC token; without one the surroundings are asked for it, as in a job of GitHub Actions. It is told
    to the certificate authority of `trust_config` alone. Raises MissingDependencyError without the extra, UsageError
    without a token or for one that is none, ServiceError where a service does not answer or refuses.
    """
    with _needing_the_extra():
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityError, IdentityToken, detect_credential
        from sigstore.sign import SigningContext
    config = _config(ClientTrustConfig, trust_config)
    try:
        found = token or detect_credential()
        if found is None:
            raise UsageError(
                "there is no identity to sign by: no token was given, and this is no job that has one",
                hint="give --identity-token FILE: an OIDC token for the audience `sigstore`",
            )
        who, trusted = IdentityToken(found), config or ClientTrustConfig.production()
        with SigningContext.from_trust_config(trusted).signer(who) as signer:
            bundle: str = signer.sign_dsse(Statement(statement)).to_json()
            return bundle.encode()
    except RefuteError:
        raise
    except IdentityError as error:
        raise UsageError(f"the identity token cannot be used: {error}", hint="ask for a new one") from error
    except Exception as error:  # requests', pydantic's and its own, which have no base in common
        raise ServiceError(
            f"the statement could not be signed by identity: {type(error).__name__}: {error}",
            hint="run the command again, or sign with a key",
        ) from error


def key_of_identity(bundle: bytes, identity: Identity, trusted_root: Path | None = None) -> bytes:
    """The public key (PEM) in a Sigstore bundle's certificate, once it is shown that `identity` signed the statement.

    Certificate, the log of certificates, the log of signatures and the moment of signing are checked against
    `trusted_root`, and nobody is asked. Raises VerificationError where one of them does not hold,
    MissingDependencyError without the extra, UnreadableInputError for a trusted root that is none.
    """
    with _needing_the_extra():
        from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity as CertificateOf
    if trusted_root is not None:
        _read(trusted_root, "trusted root")
    try:
        public = trusted_root is None
        root = (
            ClientTrustConfig.production(offline=True).trusted_root
            if public
            else TrustedRoot.from_file(str(trusted_root))
        )
        verifier = Verifier(trusted_root=root)
    except Exception as error:  # pydantic's, TUF's and its own
        raise UnreadableInputError(
            f"the trusted root {trusted_root or 'of the public instance'} cannot be used: {_first_line(error)}",
            hint="name one in Sigstore's format: --trusted-root FILE",
        ) from error
    try:
        found = Bundle.from_json(bundle)
        verifier.verify_dsse(found, CertificateOf(identity=identity.name, issuer=identity.issuer))
        _require_place(found, root)
        certificate: Certificate = found.signing_certificate
        return certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except Exception as error:  # a stranger's bytes: besides its own errors it raises those of its parsers
        raise VerificationError(
            f"not signed by {identity.name} of {identity.issuer}: {error}",
            hint="the certificate names whom it is of: compare the identity, the issuer and the trusted root",
            cause="signature",
        ) from error


def _require_place(bundle: Any, root: Any) -> None:
    """The library takes what an entry says of its log and of its place there for hints. A promise of Rekor version 1
    covers both; of version 2 nothing does, so they must be the trusted root's and the proof's.

    Neither is told by a public name: where those change, nothing is believed, and tests say so.
    """
    entry = bundle.log_entry._inner
    known = {log.log_id.key_id for log in root._inner.tlogs}
    if entry.log_id.key_id not in known:
        raise VerificationError("its entry names a log that the trusted root does not know")
    if entry.inclusion_promise is None and entry.log_index != entry.inclusion_proof.log_index:
        raise VerificationError("its entry names another place in the log than its proof")


def _config(kind: Any, path: Path | None) -> Any:
    """The library's trust configuration in a file, if one is named."""
    if path is None:
        return None
    given = _read(path, "trust configuration")
    try:
        return kind.from_json(given.decode())
    except Exception as error:  # pydantic's and its own
        raise UnreadableInputError(
            f"the trust configuration {path} cannot be used: {_first_line(error)}", hint="name one in Sigstore's format"
        ) from error


@contextmanager
def _needing_the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError("signatures by identity", "sigstore") from error


def _read(path: Path, what: str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise UnreadableInputError(
            f"cannot read the {what} {path}: {error.strerror or error}", hint="name a file in Sigstore's format"
        ) from error


def _first_line(error: Exception) -> str:
    """What an error says, without what pydantic shows below it."""
    return str(error).partition("\n")[0]
