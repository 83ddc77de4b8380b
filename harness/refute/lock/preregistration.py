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
from refute.spec.criteria import Spec
from refute.spec.release import Release
from refute.spec.texts import ReleaseText, SpecText

Value = TypeVar("Value")


OWN_EVIDENCE = "evidence."


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a run did: what it was asked, when it began (RFC 3339), its records, and its evidence file by file.

    `policy` is the SHA-256 of the one that it was judged under, `waived` whether waivers were given to its judge.
    """

    release: LockedRelease
    specs: tuple[LockedSpec, ...]
    started_at: str
    records: Sequence[Record]
    evidence: Mapping[str, Mapping[str, str]]
    policy: str | None = None
    waived: bool = False


def conduct_of(
    release: ReleaseText,
    release_content: Release,
    specs: Sequence[SpecText],
    spec_contents: Sequence[Spec],
    started_at: str,
    records: Sequence[Record] = (),
    evidence: Mapping[str, Mapping[str, str]] | None = None,
    *,
    policy: str | None = None,
    waived: bool = False,
) -> Conduct:
    """The same from recorded texts and what they parse to."""
    locked = tuple(
        LockedSpec(sha256=text.sha256, content=content) for text, content in zip(specs, spec_contents, strict=True)
    )
    return Conduct(
        LockedRelease(sha256=release.sha256, content=release_content),
        locked,
        started_at,
        records,
        evidence or {},
        policy,
        waived,
    )


def preregistration(lock: RunLock | None, trusted_keys: Sequence[str], conduct: Conduct) -> Preregistration:
    """Whether `conduct` is what a lock signed by one of `trusted_keys` (PEM) promised. Pure; never raises for a lock.

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
        release=conduct.release,
        specs=conduct.specs,
        facts=_observed(promise.facts, lock.facts, conduct),
        policy=_policy(promise.policy, conduct),
    )
    differences = changes(promise, found)
    faults = tuple(_faults(signed, conduct))
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


def _faults(signed: SignedLock, conduct: Conduct) -> Iterator[str]:
    locked_at, started_at = signed.lock.locked_at, conduct.started_at
    try:
        late = datetime.fromisoformat(locked_at) > datetime.fromisoformat(started_at)
    except (ValueError, TypeError):
        yield f"the lock of {locked_at} and the run of {started_at!r} cannot be put in order"
    else:
        if late:
            yield f"the lock was made at {locked_at}, after the run began at {started_at}: it promised nothing"


def _policy(promised: str | None, conduct: Conduct) -> str | None:
    """The policy that was applied. Without one, only waivers make a difference: everybody's would count."""
    unneeded = conduct.policy is None and not conduct.waived
    return promised if promised is None or unneeded else conduct.policy


def _observed(promised: Facts, noted: Facts, conduct: Conduct) -> Facts:
    """What the run noted, corrected by what its records and evidence show."""
    inputs = {
        place: _input(promised.inputs.get(place, ""), digest, conduct.evidence.get(place.removeprefix(OWN_EVIDENCE)))
        if place.startswith(OWN_EVIDENCE)
        else digest
        for place, digest in noted.inputs.items()
    }
    falsifiers = {
        name: _falsifier(promised.falsifiers.get(name), found, [each for each in conduct.records if each.uses == name])
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
