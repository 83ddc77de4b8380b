"""What a judge tells the gate that started it: which file it signed. An accident cannot say this, a status of 1 can.

It comes over a pipe of its own, since what is printed is for people, and is believed only where the file bears it out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from refute.attest import canonical_json, read_statement, sha256_hex, verify_envelope
from refute.disk import file_sha256
from refute.errors import VerificationError
from refute.judge.predicate.model import Predicate
from refute.judge.run.folder import RunFolder
from refute.outcome import Ruling
from refute.spec.fields import Closed, Sha256

_LIMIT = 64 * 1024  # what a pipe holds before somebody reads


class Answer(Closed):
    """The file of a verdict, the SHA-256 of its bytes, and what it says."""

    verdict: str
    sha256: Sha256
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Signed:
    """The file of a verdict that a judge signed, and what it says."""

    verdict: Path
    predicate: Predicate

    @property
    def ruling(self) -> Ruling:
        """The verdict's word."""
        return self.predicate.verdict.ruling


class AnswerPipe:
    """`writing` is the end that a judge inherits; `read` is what it wrote, once it has ended."""

    def __enter__(self) -> AnswerPipe:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._reading)
        os.close(self.writing)

    def read(self) -> bytes:
        """What lies in the pipe; it never waits for more."""
        try:
            return os.read(self._reading, _LIMIT)
        except BlockingIOError:
            return b""


def send_answer(descriptor: int, verdict: Path, ruling: Ruling) -> None:
    """Say on an open `descriptor` what was signed, and close it. Raises OSError where nobody can hear it."""
    answer = Answer(verdict=str(verdict), sha256=file_sha256(verdict), ruling=ruling)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(answer.model_dump_json().encode())


def signed_verdict(said: bytes, run: RunFolder, trusted_key: Callable[[], bytes]) -> Signed:
    """The verdict of `run` that a judge says it signed, if it is there and `trusted_key` (PEM) signed it.

    The key is asked for an answer alone: a judge that died before it ever signed may have left none.
    Raises what that raises, VerificationError for no answer, one that is none, and one that its file does not bear out.
    """
    if not said:
        raise VerificationError("the judge ended without a word on a verdict")
    try:
        answer = Answer.model_validate_json(said)
        content = Path(answer.verdict).read_bytes()
    except (ValidationError, OSError, ValueError) as error:
        raise VerificationError(f"the judge's answer names no verdict: {error}") from error
    if Path(answer.verdict).parent != run.path.resolve() or sha256_hex(content) != answer.sha256:
        raise VerificationError(f"{answer.verdict} is not the verdict that the judge signed for {run.path}")
    signed = _read_signed(Path(answer.verdict), content, trusted_key())
    if signed.ruling is not answer.ruling:
        raise VerificationError(f"the judge says {answer.ruling}, but {answer.verdict} says {signed.ruling}")
    return signed


def _read_signed(path: Path, content: bytes, trusted_key: bytes) -> Signed:
    says = read_statement(*verify_envelope(content, [trusted_key])).predicate
    try:
        return Signed(path, Predicate.model_validate_json(canonical_json(dict(says))))
    except ValidationError as error:
        raise VerificationError(f"{path} is no verdict: {error}") from error
