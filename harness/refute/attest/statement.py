"""in-toto Statement v1 around a verdict: built canonically, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from refute.attest.canonical import Json, canonical_json, parse_json, sha256_hex
from refute.errors import VerificationError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

# The project owns no domain, and a URN namespace would need registration (RFC 8141). Names below `.invalid`
# belong to no one and never resolve (RFC 6761 §6.4): nobody else can claim this identifier or serve a page
# there.
PREDICATE_TYPE = "https://refute.invalid/verdict/v1"
_WHAT = "the statement"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement after every check here; `payload_sha256` is its identity.

    `subject_name` only informs. The predicate's own schema is checked by whoever reads it.
    """

    subject_name: str
    subject_sha256: str
    predicate: Mapping[str, Json]
    payload_sha256: str


def build_statement(
    subject_name: str, subject_sha256: str, predicate: Mapping[str, Json], *, predicate_type: str = PREDICATE_TYPE
) -> bytes:
    """The statement that `predicate`, by default a verdict, is about the subject with this digest, in canonical JSON.

    Raises VerificationError if the digest is not 64 lower-case hexadecimal digits, or if the predicate holds
    what canonical JSON cannot.
    """
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject_name, "digest": {"sha256": _check_sha256(subject_sha256)}}],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def read_statement(payload_type: str, payload: bytes, *, predicate_type: str | None = PREDICATE_TYPE) -> Statement:
    """The statement in a payload that `verify_envelope` returned; with None, of whatever predicate type.

    Exact payload, statement and predicate type, exactly one subject, with a SHA-256 digest; further digests
    and unknown fields are ignored, as in-toto demands. Raises VerificationError for everything else.
    """
    _expect("payload type", payload_type, PAYLOAD_TYPE)
    root = parse_json(payload, what=_WHAT)
    if not isinstance(root, dict):
        raise VerificationError(f"{_WHAT} is not a JSON object")
    _expect("_type", root.get("_type"), STATEMENT_TYPE)
    if predicate_type is not None:
        _expect("predicateType", root.get("predicateType"), predicate_type)
    predicate = root.get("predicate")
    if not isinstance(predicate, dict):
        raise VerificationError(f"{_WHAT} has no predicate object")
    name, digest = _read_subject(root.get("subject"))
    return Statement(name, digest, predicate, sha256_hex(payload))


def _read_subject(subjects: Json) -> tuple[str, str]:
    if not isinstance(subjects, list) or len(subjects) != 1:
        found = len(subjects) if isinstance(subjects, list) else "no list of"
        raise VerificationError(f"{_WHAT} must have exactly one subject, found {found} subjects")
    subject = subjects[0]
    if not isinstance(subject, dict):
        raise VerificationError(f"{_WHAT}: its subject is not an object")
    name = subject.get("name", "")
    if not isinstance(name, str):
        raise VerificationError(f"{_WHAT}: the name of its subject is not a string")
    digests = subject.get("digest")
    if not isinstance(digests, dict) or "sha256" not in digests:
        raise VerificationError(f"{_WHAT}: its subject has no sha256 digest")
    return name, _check_sha256(digests["sha256"])


def _check_sha256(digest: Json) -> str:
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise VerificationError(f"the subject's sha256 must be 64 lower-case hexadecimal digits, found {digest!a}")
    return digest


def _expect(field: str, found: Json, expected: str) -> None:
    if found != expected:
        shown = ascii(found) if len(ascii(found)) <= 80 else f"{ascii(found)[:80]}…"
        raise VerificationError(
            f"{field} is {shown}, expected {expected!r}",
            hint="a document of another kind, or of another version",
        )
