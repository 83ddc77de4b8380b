"""A lock as somebody takes it up who neither made it nor ran anything: whose it is, when it was seen, what it is of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from refute.attest.timestamp import Timestamp, read_timestamp
from refute.disk import read_regular
from refute.errors import StaleVerdictError, UnreadableInputError, VerificationError
from refute.lock.changes import changes
from refute.lock.facts import locked_release, locked_specs
from refute.lock.file import timestamp_path
from refute.lock.model import Lock
from refute.outcome import Change
from refute.spec.criteria import LoadedSpec
from refute.spec.files import LoadedRelease


def seen_at(path: Path, envelope: bytes, roots: Sequence[bytes]) -> Timestamp | None:
    """When an authority under `roots` (PEM certificates) saw the file of a lock; None without roots.

    Raises VerificationError where no answer lies beside the lock, or it is not about these bytes; UnreadableInputError.
    """
    if not roots:
        return None
    stamp = timestamp_path(path)
    if not os.path.lexists(stamp):
        raise VerificationError(
            f"there is no timestamp at {stamp}, and --timestamp-root demands one", cause="timestamp"
        )
    try:
        answer = read_regular(stamp)
    except OSError as error:
        raise UnreadableInputError(f"cannot read the timestamp {stamp}: {error.strerror or error}") from error
    return read_timestamp(answer, envelope, roots)


def differences(lock: Lock, release: LoadedRelease, specs: Sequence[LoadedSpec]) -> tuple[Change, ...]:
    """In what these texts differ from those that were locked; code, models and data are not looked at."""
    texts = {"release": locked_release(release), "specs": locked_specs(specs)}
    return changes(lock.promise, lock.promise.model_copy(update=texts))


def require_texts(lock: Lock, release: LoadedRelease, specs: Sequence[LoadedSpec]) -> None:
    """Raises StaleVerdictError where these are not the texts that were locked, with every difference."""
    if found := differences(lock, release, specs):
        listed = "\n  ".join(map(str, found))
        raise StaleVerdictError(
            f"{release.path} and its specs are not what was locked:\n  {listed}",
            hint="look at the commit that holds the lock, or lock again",
            cause="lock",
        )
