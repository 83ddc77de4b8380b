"""A signed statement over one verdict: somebody else used the very model that it is about, on their own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    Statement,
    build_statement,
    canonical_json,
    key_id,
    public_pem,
    sign_envelope,
    write_sigstore_bundle,
)
from refute.errors import VerificationError
from refute.judge.predicate.engine import Engine
from refute.spec.fields import Closed, UtcTime, first_fault, moment
from refute.verify.sign_off.statement import JudgedFacts

CONSUMER_TYPE: Final = "https://refute.invalid/consumer/v1"
# Every path gave a text that is one; some path did not; what this key said before does not count any more.
Result = Literal["used", "failed", "withdrawn"]
Note = Annotated[str, Field(max_length=10_000)]
PathEngine = Literal["refute", "transformers", "llama.cpp"]


class TriedPath(Closed):
    """The model in one engine, in a fresh process: the `text` of so many `tokens` that it said greedily.

    `reached` names hosts that the process could reach, and must be empty; `failed` is why there is no text, or why what
    there is is degenerate.
    """

    engine: PathEngine
    file: str
    text: Annotated[str, Field(max_length=10_000)]
    tokens: int
    versions: dict[str, str]
    reached: tuple[str, ...]
    failed: str | None

    @property
    def fault(self) -> str:
        """Why this is no use of the model, in words; empty where it is one."""
        if self.failed is not None:
            return self.failed
        return f"it was not without a network: {', '.join(self.reached)} could be reached" if self.reached else ""


class Host(Closed):
    """The consumer's machine, by its own word."""

    platform: str
    python: str
    cpus: int


class Consumption(Closed):
    """The signed content. The statement's subject is the SHA-256 of the verdict's payload.

    `verdict.subject_sha256` is the digest of the model that lay there, file by file. `not_run`: paths that this machine
    could not try, with why. `engine`: the refute that tried. It does not count from `valid_until` on.
    """

    result: Result
    verdict: JudgedFacts
    prompt: str
    paths: tuple[TriedPath, ...]
    not_run: dict[str, str]
    host: Host
    engine: Engine
    note: Note
    signed_at: UtcTime
    valid_until: UtcTime

    @model_validator(mode="after")
    def _says_what_its_paths_say(self) -> Self:
        if (self.result == "withdrawn") is not (not self.paths):
            raise ValueError("a model is used by a path at least, and a withdrawal uses none")
        if moment(self.valid_until, "valid_until") <= moment(self.signed_at, "signed_at"):
            raise ValueError("it ends before it was signed")
        if self.paths and self.result != result_of(self.paths):
            raise ValueError(f"it says {self.result}, and its own paths say {result_of(self.paths)}")
        return self


def result_of(paths: tuple[TriedPath, ...]) -> Result:
    """What tried paths come to; without one, nothing was used."""
    return "used" if paths and not any(path.fault for path in paths) else "failed"


def sign_consumption(content: Consumption, verdict_sha256: str, key: PrivateKey) -> bytes:
    """What is said of the verdict whose payload has this digest, as a Sigstore bundle, which is no part of a model.

    Under such a name a file may lie in a published folder, and the folder's digest stays what it was.
    """
    name = f"verdict on {content.verdict.release}"
    payload = build_statement(name, verdict_sha256, content.model_dump(mode="json"), predicate_type=CONSUMER_TYPE)
    return write_sigstore_bundle(sign_envelope(payload, PAYLOAD_TYPE, [key]), key_id(public_pem(key)))


def parse_consumption(statement: Statement) -> Consumption:
    """The content of a statement of CONSUMER_TYPE. Raises VerificationError if it is not formed as one."""
    try:
        return Consumption.model_validate_json(canonical_json(statement.predicate))
    except ValidationError as error:
        raise VerificationError(f"it is not formed as a consumer's statement: {first_fault(error)}") from error


def named_path(folder: Path, key: PrivateKey, result: Result) -> Path:
    """Where in `folder` a statement lies so that `refute verify` finds it: named by the key, a withdrawal marked."""
    mark = "-withdrawn" if result == "withdrawn" else ""
    return folder / f"consumer-{key_id(public_pem(key))[:16]}{mark}.sigstore.json"
