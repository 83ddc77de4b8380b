"""A signed statement over one verdict: what somebody else's machine found when it was audited again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    canonical_json,
    key_id,
    public_pem,
    read_statement,
    sign_envelope,
    verify_envelope,
)
from refute.errors import VerificationError
from refute.evidence.process.provenance import MadeBy
from refute.judge.predicate.engine import Engine
from refute.outcome import Record
from refute.spec.fields import Closed, Sha256, first_fault
from refute.verify.sign_off.statement import JudgedFacts

CHALLENGE_TYPE: Final = "https://refute.invalid/challenge/v1"
# Every falsifier let stand what was measured again; one did not; or one of them could not say.
Result = Literal["held", "refuted", "open"]


class MadeAgain(Closed):
    """Evidence that was made on the challenger's machine; `entropy` is what its draw was made from, if it has one."""

    digest: Sha256
    entropy: str | None
    made_by: MadeBy | None


class Challenge(Closed):
    """The signed content. The statement's subject is the SHA-256 of the verdict's payload.

    `records` are those of the falsifiers that rest on what was made `again`, under the bars of the verdict's own specs,
    by the code of `engine`; everything else that they read is the verdict's evidence, file by file.
    """

    verdict: JudgedFacts
    result: Result
    again: dict[str, MadeAgain]
    records: Annotated[tuple[Record, ...], Field(min_length=1)]
    platform: str
    engine: Engine
    signed_at: str


def sign_challenge(challenge: Challenge, verdict_sha256: str, key: PrivateKey) -> bytes:
    """The envelope of a challenge to the verdict whose payload has this digest."""
    predicate = challenge.model_dump(mode="json")
    name = f"verdict on {challenge.verdict.release}"
    payload = build_statement(name, verdict_sha256, predicate, predicate_type=CHALLENGE_TYPE)
    return sign_envelope(payload, PAYLOAD_TYPE, [key])


def read_challenge(envelope: bytes, trusted_keys: list[bytes], verdict_sha256: str) -> Challenge:
    """The challenge to this verdict that one of `trusted_keys` (PEM) signed. Raises VerificationError for another."""
    statement = read_statement(*verify_envelope(envelope, trusted_keys), predicate_type=CHALLENGE_TYPE)
    if statement.subject_sha256 != verdict_sha256:
        raise VerificationError(f"the challenge speaks of another verdict, {statement.subject_sha256[:16]}…")
    try:
        return Challenge.model_validate_json(canonical_json(statement.predicate))
    except ValidationError as error:
        raise VerificationError(f"it is not formed as a challenge: {first_fault(error)}") from error


def default_path(verdict: Path, key: PrivateKey) -> Path:
    """Beside the verdict, named by the key."""
    return named_path(verdict, key_id(public_pem(key)))


def named_path(verdict: Path, challenger: str) -> Path:
    """Where the challenge by the key with this id lies."""
    return verdict.parent / f"challenge-{challenger[:16]}.intoto.json"
