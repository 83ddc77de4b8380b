"""Operators whom a policy names by identity: whose key it is, the certificates of a Sigstore bundle have to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from refute.attest import PAYLOAD_TYPE, SigstoreBundle, find_sigstore_bundle, key_id, peek_envelope, read_statement
from refute.attest.certificate import CertifiedName, key_of_certificate
from refute.attest.keyless import Identity, key_of_identity
from refute.attest.timestamp import read_timestamp
from refute.errors import VerificationError
from refute.spec.fields import moment
from refute.spec.policy import OPERATOR, IdentityText, KeyText, LoadedPolicy, TrustedKey


def with_identities(policy: LoadedPolicy, data: bytes, *, at: datetime | None = None) -> LoadedPolicy:
    """`policy` with the key of every operator's identity that signed `data`, as of the moment `at` (default: now).

    Raises VerificationError where the policy names operators by identity alone, and none of them signed; and what
    `key_of_identity` raises about the trusted root.
    """
    role = policy.policy.roles.get(OPERATOR)
    if role is None or not role.identities:
        return policy
    faults: list[VerificationError] = []
    keys = {key.id: key for key in policy.keys_of(OPERATOR)}
    for key in _signers(policy, data, at, faults):
        keys.setdefault(key.id, key)  # one key under two names, or listed as a key, too, is one
    if not keys:
        raise faults[0]
    return replace(policy, keys={**policy.keys, OPERATOR: tuple(keys.values())})


def key_of_certified(
    data: bytes, trusted: CertifiedName, *, timestamp_roots: Sequence[bytes] = (), at: datetime | None = None
) -> bytes:
    """The public key (PEM) of the certificate in the Sigstore bundle `data`, which an authority of one's own issued.

    It must have been valid when a clock under `timestamp_roots` (PEM) saw the signature. Where none did, it must be
    valid still, at `at` or now, and have been when the verdict says that it was judged: by the signer's own clock no
    certificate becomes young again. Raises VerificationError.
    """
    bundle = find_sigstore_bundle(data)
    if bundle is None or not bundle.certificates:
        raise VerificationError(
            f"not signed by {trusted.name}: there is no certificate",
            hint="name the Sigstore bundle that holds it: verdict.sigstore.json",
            cause="signature",
        )
    return key_of_certificate(bundle.certificates, trusted, _moments(bundle, timestamp_roots, at))


def _moments(bundle: SigstoreBundle, roots: Sequence[bytes], at: datetime | None) -> list[datetime]:
    payload, (signature,) = peek_envelope(bundle.envelope)
    if roots and bundle.timestamps:
        return [read_timestamp(each, signature, roots).moment for each in bundle.timestamps]
    judged = read_statement(PAYLOAD_TYPE, payload).predicate.get("evaluated_at")
    return [at or datetime.now(UTC), moment(str(judged), "evaluated_at")]


def _signers(
    policy: LoadedPolicy, data: bytes, at: datetime | None, faults: list[VerificationError]
) -> Iterator[TrustedKey]:
    for text, authorities in zip(policy.policy.roles[OPERATOR].identities, policy.authorities, strict=True):
        try:
            pem = _key(policy, text, authorities, data, at)
        except VerificationError as error:
            faults.append(error)
        else:
            yield TrustedKey(text.name, key_id(pem), pem, KeyText(name=text.name, pem=pem.decode()))


def _key(
    policy: LoadedPolicy, text: IdentityText, authorities: tuple[bytes, ...], data: bytes, at: datetime | None
) -> bytes:
    if text.issuer is None:
        trusted = CertifiedName(text.identity, authorities)
        return key_of_certified(data, trusted, timestamp_roots=policy.timestamp_roots, at=at)
    root = None if text.trusted_root is None else policy.path.parent / text.trusted_root
    return key_of_identity(data, Identity(text.identity, text.issuer), root)
