"""verdict.intoto.jsonl: the verdict and its projections, one signed envelope a line; the verdict decides.

A bundle is not signed as a whole: whoever holds it may take lines away. Nothing is concluded from a line that is
missing, and a projection that is there must say what its verdict says. In the place of an envelope there may be a
Sigstore bundle around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from refute.attest import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    PrivateKey,
    SigstoreBundle,
    canonical_json,
    countersign_envelope,
    find_sigstore_bundle,
    parse_json,
    peek_envelope,
    sign_envelope,
    verify_envelope,
)
from refute.errors import UsageError, VerificationError
from refute.judge.predicate.model import Predicate
from refute.judge.predicate.projections import SUMMARY_TYPE, TEST_RESULT_TYPE, project

# Our own bundles have three lines; sign-offs and other people's statements may be added.
MAX_LINES = 64
_PROJECTIONS = (TEST_RESULT_TYPE, SUMMARY_TYPE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The lines of a bundle by what they claim to be; nothing in it is verified yet.

    `others` are further statements, such as sign-offs, each with the predicate type that it claims. `sigstore` is the
    Sigstore bundle that the verdict's envelope came in, if it did.
    """

    verdict: bytes
    projections: tuple[bytes, ...] = ()
    others: tuple[tuple[str, bytes], ...] = ()
    sigstore: SigstoreBundle | None = None


def write_bundle(envelope: bytes, predicate: Predicate, payload_sha256: str, keys: Sequence[PrivateKey]) -> bytes:
    """The envelope of a verdict and its projections, each signed by all of `keys`, as JSON lines."""
    projections = project(predicate, payload_sha256)
    signed = [sign_envelope(each.payload, PAYLOAD_TYPE, keys) for each in projections]
    return b"".join(line + b"\n" for line in (envelope, *signed))


def countersign_bundle(data: bytes, key: PrivateKey) -> bytes:
    """`data`, a verdict alone or a bundle, with a signature by `key` on the verdict and on each of its projections.

    Raises UsageError for a Sigstore bundle, which holds one signature, and as `read_bundle` and
    `attest.countersign_envelope` do.
    """
    bundle = read_bundle(data)
    if bundle.sigstore is not None:
        raise UsageError("a Sigstore bundle holds one signature", hint="countersign verdict.intoto.json")
    if bundle.verdict == data:
        return countersign_envelope(data, key)
    signed = [countersign_envelope(line, key) for line in (bundle.verdict, *bundle.projections)]
    return b"".join(line + b"\n" for line in (*signed, *(line for _, line in bundle.others)))


def read_bundle(data: bytes) -> Bundle:
    """The lines of `data`; a file with one envelope or Sigstore bundle, however it is laid out, is a bundle of one.

    Raises VerificationError unless exactly one line claims to be a verdict.
    """
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) < 2 or not _is_envelope(lines[0]):
        return _opened(data)
    if len(lines) > MAX_LINES:
        raise VerificationError(f"the bundle has {len(lines)} lines; at most {MAX_LINES} are read")
    opened = [_opened(line) for line in lines]
    kinds = [_kind(each.verdict, number) for number, each in enumerate(opened, start=1)]
    found = list(zip(kinds, opened, strict=True))
    verdicts = [each for kind, each in found if kind == PREDICATE_TYPE]
    if len(verdicts) != 1:
        raise VerificationError(
            f"the bundle holds {len(verdicts)} verdicts; there must be one", hint="give the verdict's own file"
        )
    return replace(
        verdicts[0],
        projections=tuple(each.verdict for kind, each in found if kind in _PROJECTIONS),
        others=tuple((kind, each.verdict) for kind, each in found if kind not in (PREDICATE_TYPE, *_PROJECTIONS)),
    )


def _opened(data: bytes) -> Bundle:
    """One envelope, alone or in a Sigstore bundle."""
    found = find_sigstore_bundle(data)
    return Bundle(data) if found is None else Bundle(found.envelope, sigstore=found)


def check_projections(
    bundle: Bundle, predicate: Predicate, payload_sha256: str, trusted_keys: Sequence[bytes], threshold: int
) -> str:
    """What was found, in words, empty for a verdict alone.

    Raises VerificationError for a projection that is not signed as the verdict must be, that comes twice, or that
    says anything else than the one derived from `predicate`.
    """
    expected = {each.predicate_type: each.payload for each in project(predicate, payload_sha256)}
    found: list[str] = []
    for envelope in bundle.projections:
        payload_type, payload = verify_envelope(envelope, trusted_keys, threshold=threshold)
        content = parse_json(payload, what="the projection")
        kind = content.get("predicateType") if isinstance(content, dict) else None
        same = isinstance(kind, str) and canonical_json(content) == expected.get(kind)
        if not isinstance(kind, str) or not same or kind in found or payload_type != PAYLOAD_TYPE:
            raise VerificationError(
                f"the projection {kind} disagrees with the verdict beside it, or is there twice",
                hint="take the verdict's word, and ask its signer where the projection comes from",
            )
        found.append(kind)
    parts = [f"{len(found)} projections say what the verdict says"] if found else []
    if bundle.others:
        parts.append(f"beside them: {', '.join(sorted({kind for kind, _ in bundle.others}))}")
    return "; ".join(parts)


def _is_envelope(line: bytes) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except VerificationError:
        return False


def _kind(line: bytes, number: int) -> str:
    """The predicate type that a line claims."""
    statement = parse_json(peek_envelope(line)[0], what=f"the payload of line {number}")
    kind = statement.get("predicateType") if isinstance(statement, dict) else None
    if not isinstance(kind, str):
        raise VerificationError(f"line {number} of the bundle holds no statement")
    return kind
