"""What RFC 3161 authorities say: that a lock was there before its run, and that a signature was there at a moment.

A signer's clock is the signer's word. An authority's is somebody else's, which bounds it: what was seen at a moment was
not signed later, and what says that it was signed long before was dated back.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from refute.attest import envelope_signatures
from refute.attest.timestamp import Timestamp, read_timestamp
from refute.disk import read_regular
from refute.errors import UnreadableInputError, VerificationError
from refute.judge.predicate.bundle import Bundle
from refute.judge.predicate.model import Predicate
from refute.judge.run.verdict_files import files_of
from refute.spec.fields import moment, utc_text
from refute.verify.freshness import CLOCK_SKEW

# `evaluated_at` is when the judge begins; measuring again before it signs may take hours.
SIGNED_WITHIN = timedelta(days=1)


def find_timestamps(verdict: Path) -> list[bytes]:
    """What an authority said of the verdict in this file, if that lies beside it. Raises UnreadableInputError."""
    path = files_of(verdict).timestamp
    if not os.path.lexists(path):
        return []
    try:
        return [read_regular(path)]
    except OSError as error:
        raise UnreadableInputError(f"cannot read the timestamp {path}: {error.strerror or error}") from error


def check_lock_timestamp(predicate: Predicate, roots: Sequence[bytes]) -> list[str]:
    """What was checked, in words. With `roots` (PEM certificates) the lock must have been seen before the run began.

    Raises VerificationError where a timestamp was demanded and shows no lock from before the run.
    """
    lock = predicate.lock
    if not roots:
        return ["the lock's timestamp was not checked: give --timestamp-root"] if lock and lock.timestamp else []
    if lock is None or not lock.timestamp:
        what = "the run was not pre-registered" if lock is None else "the lock has no timestamp"
        raise VerificationError(f"{what}, and --timestamp-root demands one", cause="timestamp")
    try:
        answer = base64.b64decode(lock.timestamp, validate=True)
    except ValueError as error:
        raise VerificationError(f"the lock's timestamp is no base64: {error}", cause="timestamp") from error
    found = read_timestamp(answer, lock.envelope.encode("utf-8"), roots)
    if found.moment > moment(predicate.run.started_at, "started_at"):
        raise VerificationError(
            f"the lock was seen at {utc_text(found.moment)}, after the run began at {predicate.run.started_at}",
            cause="timestamp",
        )
    return [f"the lock was seen at {utc_text(found.moment)} by {found.authority}"]


def check_timestamps(
    bundle: Bundle, trusted_keys: Sequence[bytes], beside: Sequence[bytes], roots: Sequence[bytes], evaluated_at: str
) -> tuple[Mapping[str, Timestamp], list[str]]:
    """When an authority under `roots` (PEM certificates) saw each signature by a trusted key, by key id; and in words.

    What authorities said lies in the bundle, and `beside` it, in DER. With `roots` there must be an answer, and every
    one be of such a signature and bear out the moment at which the verdict says that it was judged: else raises
    VerificationError. Whoever can delete an answer gains nothing by it.
    """
    answers = (*(bundle.sigstore.timestamps if bundle.sigstore else ()), *beside)
    if not roots:
        unread = "the verdict's timestamp was not checked: give --timestamp-root, or a policy that names one"
        return {}, [unread] if answers else []
    if not answers:
        raise VerificationError(
            "the verdict has no timestamp, and --timestamp-root, or the policy, demands one",
            hint="keep verdict.tsr beside the verdict; judge with --timestamp where no authority was asked",
            cause="timestamp",
        )
    signatures = envelope_signatures(bundle.verdict, trusted_keys)
    seen: dict[str, Timestamp] = {}
    for answer in answers:
        key, found = _read(answer, signatures, roots)
        _require_plausible(found.moment, moment(evaluated_at), evaluated_at)
        seen[key] = min(found, seen.get(key, found), key=lambda each: each.moment)
    return seen, [f"signed before {utc_text(each.moment)}, says {each.authority}" for each in seen.values()]


def _read(answer: bytes, signatures: Mapping[str, bytes], roots: Sequence[bytes]) -> tuple[str, Timestamp]:
    faults: list[VerificationError] = []
    for key, signature in signatures.items():
        try:
            return key, read_timestamp(answer, signature, roots)
        except VerificationError as error:
            faults.append(error)
    raise faults[0]


def _require_plausible(seen: datetime, judged: datetime, evaluated_at: str) -> None:
    if judged - seen > CLOCK_SKEW:
        fault = "before the moment at which it says that it was judged"
    elif seen - judged > SIGNED_WITHIN:
        fault = f"more than {SIGNED_WITHIN.days} day after the moment at which it says that it was judged"
    else:
        return
    raise VerificationError(
        f"the verdict was seen at {utc_text(seen)}, {fault}, {evaluated_at}",
        hint="a date that no authority bears out may have been chosen: judge the run again",
        cause="timestamp",
    )
