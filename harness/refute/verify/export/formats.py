"""A verdict that verifies as the files that other tools take: a Sigstore bundle, statements, a bare predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    canonical_json,
    envelope_signatures,
    parse_json,
    peek_envelope,
    sign_envelope,
    write_sigstore_bundle,
)
from refute.attest.certificate import certified_key
from refute.attest.dsse import keep_signature
from refute.errors import UsageError
from refute.judge.predicate.bundle import read_bundle
from refute.judge.predicate.model import Predicate
from refute.judge.predicate.projections import OWN_NAMES, SUMMARY_TYPE, TEST_RESULT_TYPE, Names, project
from refute.verify.export.kinds import Format

# RFC 3986, section 4.3, without what would break a line: an absolute URI, such as pkg:huggingface/org/name@commit.
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """A verdict that was verified: the file as it was read, its predicate, and the keys (PEM) that it was verified by.

    `timestamps` are answers of RFC 3161 authorities (DER) about its first signature. `key` signs statements that the
    judge did not sign under these `names`. `certificates` (DER) are the chain of a key that signed the verdict.
    """

    data: bytes
    predicate: Predicate
    payload_sha256: str
    trusted_keys: Sequence[bytes]
    timestamps: Sequence[bytes] = ()
    key: PrivateKey | None = None
    names: Names = OWN_NAMES
    certificates: Sequence[bytes] = ()


def write_format(verdict: Exported, wanted: Format) -> bytes:
    """The verdict as `wanted`. Raises UsageError for a name that is no absolute URI, and without a key that signs."""
    _require_absolute(verdict.names)
    return _WRITERS[wanted](verdict)


def _sigstore(verdict: Exported) -> bytes:
    """Around the first trusted key's signature alone: the format has room for one. A bundle that a certificate signs
    for stays what it is: without that, and the logs' entries beside it, nobody could verify it."""
    bundle = read_bundle(verdict.data)
    if bundle.sigstore and bundle.sigstore.certificates:
        return verdict.data
    keys = [certified_key(verdict.certificates)] if verdict.certificates else verdict.trusted_keys
    signed = envelope_signatures(bundle.verdict, keys)
    if not signed:
        raise UsageError(
            "the certificate is of a key that did not sign this verdict", hint="countersign it with that key"
        )
    name, signature = next(iter(signed.items()))
    stamps = bundle.sigstore.timestamps if bundle.sigstore else verdict.timestamps
    return write_sigstore_bundle(keep_signature(bundle.verdict, signature), name, stamps, verdict.certificates)


def _projected(kind: str) -> Callable[[Exported], bytes]:
    def write(verdict: Exported) -> bytes:
        if verdict.key is None:
            raise UsageError("a statement of its own needs a signature of its own", hint="name a key: --signing-key")
        made = project(verdict.predicate, verdict.payload_sha256, verdict.names)
        (payload,) = (each.payload for each in made if each.predicate_type == kind)
        return sign_envelope(payload, PAYLOAD_TYPE, [verdict.key])

    return write


def _predicate(verdict: Exported) -> bytes:
    """Without its statement, for who signs statements of their own around it, as `actions/attest` does."""
    payload, _ = peek_envelope(read_bundle(verdict.data).verdict)
    statement = parse_json(payload, what="the statement")
    if not isinstance(statement, dict):
        raise TypeError("a statement is a JSON object")
    return canonical_json(statement["predicate"])


_WRITERS: Mapping[Format, Callable[[Exported], bytes]] = {
    Format.SIGSTORE: _sigstore,
    Format.VSA: _projected(SUMMARY_TYPE),
    Format.TEST_RESULT: _projected(TEST_RESULT_TYPE),
    Format.PREDICATE: _predicate,
}


def _require_absolute(names: Names) -> None:
    for what, uri in (("verifier id", names.verifier_id), ("resource URI", names.resource_uri), ("URL", names.run_url)):
        if uri is not None and not _ABSOLUTE.fullmatch(uri):
            raise UsageError(
                f"the {what} {uri!a} is no absolute URI", hint="such as https://host/path or pkg:huggingface/org/name"
            )
