"""Did the run keep what was promised before it? Decided from signed facts alone, by the judge and again by a verifier.

The run only says what it found. Where its records and its evidence say something else, they are believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from refute.errors import VerificationError
from refute.evidence.manifest import manifest_digest
from refute.lock.changes import changes
from refute.lock.file import SignedLock, read_lock
from refute.lock.model import Facts, LockedFalsifier, LockedRelease, LockedSpec, Promise, RunLock
from refute.lock.state import NOT_LOCKED, LockState, Preregistration
from refute.outcome import Record

Value = TypeVar("Value")
OWN_EVIDENCE = "evidence."


@dataclass(frozen=True, slots=True)
class RunUnderLock:
    """What a run did: what it was asked, when it began (RFC 3339), its records, and its evidence file by file.

    `policy_sha256` is of the policy that it was judged under, `waived` whether waivers were given to its judge.
    """

    release: LockedRelease
    specs: tuple[LockedSpec, ...]
    started_at: str
    records: Sequence[Record]
    evidence: Mapping[str, Mapping[str, str]]
    policy_sha256: str | None = None
    waived: bool = False


def preregistration(lock: RunLock | None, trusted_keys: Sequence[str], run: RunUnderLock) -> Preregistration:
    """Whether `run` is what a lock signed by one of `trusted_keys` (PEM) promised. Pure; never raises for a lock.

    A lock that nobody trusted signed, that is none, that was made after the run began, or that differs anywhere
    from what was run is `broken`, with every difference.
    """
    if lock is None:
        return NOT_LOCKED
    try:
        signed = read_lock(lock.envelope.encode("utf-8"), [pem.encode("utf-8") for pem in trusted_keys])
    except VerificationError as error:
        return Preregistration(LockState.BROKEN, faults=(f"the lock {lock.name} is not to be trusted: {error}",))
    promise = signed.lock.promise
    found = Promise(
        release=run.release,
        specs=run.specs,
        facts=_observed(promise.facts, lock.facts, run),
        policy=_policy(promise.policy, run),
    )
    differences = changes(promise, found)
    faults = tuple(_faults(signed, run))
    return Preregistration(
        state=LockState.BROKEN if differences or faults else LockState.HELD,
        lock_sha256=signed.payload_sha256,
        key_id=signed.key_id,
        locked_at=signed.lock.locked_at,
        sequence=signed.lock.sequence,
        relaxed=signed.lock.relaxed,
        known_before=signed.lock.known_before,
        policy=promise.policy or "",
        changes=differences,
        faults=faults,
    )


def _faults(signed: SignedLock, run: RunUnderLock) -> Iterator[str]:
    locked_at, started_at = signed.lock.locked_at, run.started_at
    try:
        late = datetime.fromisoformat(locked_at) > datetime.fromisoformat(started_at)
    except (ValueError, TypeError):
        yield f"the lock of {locked_at} and the run of {started_at!r} cannot be put in order"
    else:
        if late:
            yield f"the lock was made at {locked_at}, after the run began at {started_at}: it promised nothing"


def _policy(promised: str | None, run: RunUnderLock) -> str | None:
    """The policy that was applied. Without one, only waivers make a difference: everybody's would count."""
    unneeded = run.policy_sha256 is None and not run.waived
    return promised if promised is None or unneeded else run.policy_sha256


def _observed(promised: Facts, noted: Facts, run: RunUnderLock) -> Facts:
    """What the run noted, corrected by what its records and evidence show."""
    inputs = {
        place: _input(promised.inputs.get(place, ""), digest, run.evidence.get(place.removeprefix(OWN_EVIDENCE)))
        if place.startswith(OWN_EVIDENCE)
        else digest
        for place, digest in noted.inputs.items()
    }
    falsifiers = {
        name: _falsifier(promised.falsifiers.get(name), found, [each for each in run.records if each.uses == name])
        for name, found in noted.falsifiers.items()
    }
    return Facts(engine=noted.engine, falsifiers=falsifiers, inputs=inputs)


def _input(promised: str, noted: str, files: Mapping[str, str] | None) -> str:
    """The digest of a release's own evidence: a folder's is its manifest's, a file's is the file's."""
    if not files:
        return noted
    shown = [manifest_digest(files), *(files.values() if len(files) == 1 else ())]
    return noted if noted in shown else _unlike(promised, [shown[-1], noted])


def _falsifier(promised: LockedFalsifier | None, noted: LockedFalsifier, records: Sequence[Record]) -> LockedFalsifier:
    if promised is None:
        return noted
    ran = [each for each in records if each.code or each.measurements]
    controls = [{control.name: control.expected for control in each.controls} for each in ran]
    file = _unlike(promised.file, [noted.file, *(each.code for each in ran)])
    return noted.model_copy(update={"file": file, "controls": _unlike(promised.controls, [noted.controls, *controls])})


def _unlike(promised: Value, found: Iterable[Value]) -> Value:
    """The first of `found` that is not what was promised, if there is one: one sight of another is enough."""
    return next((each for each in found if each != promised), promised)
