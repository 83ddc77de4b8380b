"""`refute lock`: digest what a release is about to be judged by and made from, and sign it before the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from refute.attest import PrivateKey, key_id, public_pem, sha256_hex
from refute.attest.timestamp import request_timestamp
from refute.disk import replace_file, writing
from refute.errors import LooseningError, SpecError, UsageError, VerificationError
from refute.evidence.experiment import Plan
from refute.evidence.key import key_of
from refute.evidence.plan import plan_for
from refute.evidence.store import Store
from refute.falsifier.registry import Registry
from refute.lock.changes import changes, loosened, relaxing
from refute.lock.facts import find_facts, locked_release, locked_specs, read_file
from refute.lock.file import SignedLock, lock_path, read_lock, sign_lock, timestamp_path
from refute.lock.model import Lock, Promise
from refute.outcome import Change
from refute.spec.criteria import LoadedSpec
from refute.spec.fields import utc_now
from refute.spec.files import LoadedRelease
from refute.spec.lint import UNCOVERED, check_specs


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock on disk. `changes` lead here from the lock before it; nothing was `written` where that one still holds."""

    path: Path
    signed: SignedLock
    changes: tuple[Change, ...]
    written: bool


def lock_release(
    release: LoadedRelease,
    specs: Sequence[LoadedSpec],
    registry: Registry,
    key: PrivateKey,
    *,
    out: Path | None = None,
    policy: Path | None = None,
    trusted_keys: Sequence[bytes] = (),
    store: Path | None = None,
) -> Locked:
    """Sign what `release` promises with `key`, and write it to `out`, by default beside the release file.

    A lock that lies there already must be signed by `key` or one of `trusted_keys` (PEM); the new one cites it.
    `store` is looked through for evidence of this release that exists already.

    Raises:
        SpecError: the specs do not fit the falsifiers.
        MissingInputsError: a model, file or folder that the release names is not there to be digested.
        VerificationError: the lock that lies there is none, or nobody trusted signed it.
        LooseningError: the new lock would promise less under the same ids and versions.
        UsageError: the lock there is another release's; else as `disk.unwritable` says.
    """
    problems = [each for each in check_specs(specs, registry) if each.code != UNCOVERED]
    if problems:
        raise SpecError(problems, hint="`refute check` lists these")
    path = out or lock_path(release.path)
    promise = Promise(
        release=locked_release(release),
        specs=locked_specs(specs),
        facts=find_facts(release, specs, registry),
        policy=None if policy is None else sha256_hex(read_file(policy)),
    )
    own = public_pem(key)
    former = _former(path, release, [*trusted_keys, own])
    made = changes(former.lock.promise, promise) if former else ()
    if former and not made and former.key_id == key_id(own):
        return Locked(path, former, (), written=False)
    if former and (refused := loosened(former.lock.promise, promise)):
        raise _loosening(path, refused)
    plan = plan_for(release.release, release.path.parent, [loaded.spec for loaded in specs], registry)
    known = _known(plan, store)
    envelope = sign_lock(_next(former, promise, made, known), key)
    timestamp_path(path).unlink(missing_ok=True)  # it is of the lock before
    _write(path, envelope + b"\n")
    return Locked(path, read_lock(envelope, [own]), made, written=True)


def stamp_lock(path: Path, url: str) -> Path:
    """Have the authority at `url` say when it saw the lock at `path`, and write its answer beside it.

    Raises what `request_timestamp` does, and as `disk.unwritable` says.
    """
    stamp = timestamp_path(path)
    _write(stamp, request_timestamp(url, read_file(path)))
    return stamp


def _next(former: SignedLock | None, promise: Promise, made: Sequence[Change], known: tuple[str, ...]) -> Lock:
    return Lock(
        promise=promise,
        locked_at=utc_now(),
        sequence=former.lock.sequence + 1 if former else 1,
        predecessor=former.payload_sha256 if former else None,
        relaxed=(*(former.lock.relaxed if former else ()), *relaxing(made)),
        known_before=known,
        verifier_version=version("refute"),
    )


def _former(path: Path, release: LoadedRelease, trusted_keys: Sequence[bytes]) -> SignedLock | None:
    if not os.path.lexists(path):
        return None
    try:
        former = read_lock(read_file(path), trusted_keys)
    except VerificationError as error:
        raise VerificationError(
            f"the lock {path} cannot be continued: {error}",
            hint="name the public key that signed it with --lock-key, or begin another chain with --out",
        ) from error
    locked = former.lock.promise.release.content.release
    if locked != release.release.release:
        raise UsageError(
            f"{path} is the lock of release {locked!r}, not of {release.release.release!r}", hint="give --out"
        )
    return former


def _loosening(path: Path, refused: Sequence[Change]) -> LooseningError:
    count = f"{len(refused)} demand" + ("s" if len(refused) > 1 else "")
    specs = ", ".join(sorted({change.spec for change in refused}))
    return LooseningError(
        f"not locked: {count} would be looser than in {path}, or cannot be compared with it, under the same id",
        refused,
        hint=f"give what changed a new id and retire the old one, or raise the `version` of {specs}",
    )


def _known(plan: Plan, store: Path | None) -> tuple[str, ...]:
    """The experiments of `plan` whose evidence is in the store: what they measured may have been seen."""
    if store is None or not store.is_dir():
        return ()
    shelf = Store(store)
    digests: dict[str, str | None] = {}

    def digest(name: str) -> str | None:
        if name not in digests:
            needs = {need: digest(need) for need in plan[name].needs}
            found = {need: known for need, known in needs.items() if known is not None}
            digests[name] = shelf.recorded(key_of(plan[name], found)) if len(found) == len(needs) else None
        return digests[name]

    return tuple(sorted(name for name in plan if plan[name].entry is not None and digest(name) is not None))


def _write(path: Path, data: bytes) -> None:
    with writing(path, hint="make room, or name another file with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
