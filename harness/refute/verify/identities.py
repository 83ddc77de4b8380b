"""Operators whom a policy names by identity: whose key it is, a Sigstore bundle's certificate and logs have to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from refute.attest import key_id
from refute.attest.keyless import Identity, key_of_identity
from refute.errors import VerificationError
from refute.spec.policy import OPERATOR, KeyText, LoadedPolicy, TrustedKey


def with_identities(policy: LoadedPolicy, data: bytes) -> LoadedPolicy:
    """`policy` with the key of every operator's identity that signed `data`.

    Raises VerificationError where the policy names operators by identity alone, and none of them signed; and what
    `key_of_identity` raises about the trusted root.
    """
    role = policy.policy.roles.get(OPERATOR)
    if role is None or not role.identities:
        return policy
    faults: list[VerificationError] = []
    keys = (*policy.keys_of(OPERATOR), *_signers(policy, data, faults))
    if not keys:
        raise faults[0]
    return replace(policy, keys={**policy.keys, OPERATOR: keys})


def _signers(policy: LoadedPolicy, data: bytes, faults: list[VerificationError]) -> Iterator[TrustedKey]:
    for text in policy.policy.roles[OPERATOR].identities:
        root = None if text.trusted_root is None else policy.path.parent / text.trusted_root
        try:
            pem = key_of_identity(data, Identity(text.identity, text.issuer), root)
        except VerificationError as error:
            faults.append(error)
        else:
            yield TrustedKey(text.name, key_id(pem), pem, KeyText(name=text.name, pem=pem.decode()))
