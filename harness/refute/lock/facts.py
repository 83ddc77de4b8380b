"""What a run finds in the place of what was locked: digests of code and inputs, and the lock itself."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from refute.attest import default_key_directory, public_pem
from refute.attest.keys import DEVELOPMENT_KEY
from refute.attest.signing_key import load_unattended_key
from refute.disk import file_sha256, read_regular
from refute.errors import EvidenceError, UnreadableInputError
from refute.evidence.manifest import manifest_digest
from refute.evidence.plan import input_digests
from refute.evidence.reach import source_digest
from refute.falsifier.own_folder import USER_MODULES
from refute.falsifier.registry import Falsifier, Registry
from refute.lock.file import checked_pem, lock_path, timestamp_path
from refute.lock.model import Facts, LockedFalsifier, LockedRelease, LockedSpec, RunLock
from refute.lock.preregistration import RunUnderLock, preregistration
from refute.lock.state import NOT_LOCKED, LockState, Preregistration
from refute.spec.criteria import LoadedSpec, uses_of
from refute.spec.fields import utc_now
from refute.spec.files import LoadedRelease


def find_facts(release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Registry) -> Facts:
    """Digests of the engine, of the falsifiers that `specs` use, and of everything that `release` names.

    Raises UnreadableInputError for what is not there, EvidenceError for what cannot be read.
    """
    used = sorted({use.uses for use in uses_of(each.spec for each in specs) if use.uses})
    try:
        return Facts(
            engine=source_digest(""),
            falsifiers={name: _locked_falsifier(registry[name]) for name in used},
            inputs=input_digests(release.release, release.path.parent),
        )
    except OSError as error:
        raise EvidenceError(f"cannot digest {error.filename}: {error.strerror or error}") from error


def record_lock(
    release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Registry, named: Path | None
) -> RunLock | None:
    """The lock at `named`, or beside the release file, with what this run finds; None where there is none.

    What the lock is worth is not decided here. Raises UnreadableInputError where `named` cannot be read.
    """
    path = named or lock_path(release.path)
    if named is None and not os.path.lexists(path):
        return None
    envelope = read_file(path).decode("utf-8", "replace")  # what is not UTF-8 will not verify
    stamp = timestamp_path(path)
    return RunLock(
        name=path.name,
        envelope=envelope,
        facts=find_facts(release, specs, registry),
        timestamp=base64.b64encode(read_file(stamp)).decode("ascii") if os.path.lexists(stamp) else "",
    )


def foresee(
    lock: RunLock | None,
    release: LoadedRelease,
    specs: Sequence[LoadedSpec],
    lock_keys: Sequence[Path],
    signing_key: Path | None,
) -> Preregistration:
    """What the judge would say of a run under `lock`, begun now and signed with `signing_key` or the development key.

    Raises UnreadableInputError or VerificationError for a key that cannot be used.
    """
    if lock is None:
        return NOT_LOCKED
    trusted = [read_file(path) for path in lock_keys] or _public_half(signing_key)
    run = RunUnderLock(locked_release(release), locked_specs(specs), utc_now(), (), {})
    return preregistration(lock, [checked_pem(pem) for pem in trusted], run)


def warnings(found: Preregistration, *, signer_known: bool) -> tuple[str, ...]:
    """What to say of a lock before the first experiment: nothing where it holds, else why the end will be NO-GO.

    Where another process will judge (`signer_known` is false), its key is not known here: a lock that the development
    key did not sign may be just right.
    """
    if found.state is not LockState.BROKEN:
        return ()
    if found.lock_sha256:
        return ("this run can only end in NO-GO, until `refute lock` is run again:", *found.reasons)
    if signer_known:
        remedy = "sign with the key that locked (--signing-key), name it (--lock-key), or run `refute lock` again"
        return (f"this run can only end in NO-GO; {remedy}:", *found.reasons)
    return ("the lock is not held against this run before it is judged; give --lock-key to see now what it would say",)


def locked_release(release: LoadedRelease) -> LockedRelease:
    """As a lock holds it."""
    return LockedRelease(sha256=release.sha256, content=release.release)


def locked_specs(specs: Sequence[LoadedSpec]) -> tuple[LockedSpec, ...]:
    """As a lock holds them."""
    return tuple(LockedSpec(sha256=each.sha256, content=each.spec) for each in specs)


def read_file(path: Path) -> bytes:
    """Its bytes. Raises UnreadableInputError where it cannot be read, or is no file: a pipe might never answer."""
    try:
        return read_regular(path)
    except OSError as error:
        raise UnreadableInputError(f"cannot read {path}: {error.strerror or error}") from error


def _public_half(key: Path | None) -> list[bytes]:
    """Of the key that signs; none where that is a development key which is not made yet, and so has locked nothing."""
    if key is not None:
        return [public_pem(load_unattended_key(key))]
    # Its other half may be hidden: a gate lets no code of the repository read it.
    public = default_key_directory() / f"{DEVELOPMENT_KEY}.pub"
    return [read_file(public)] if public.is_file() else []


def _locked_falsifier(falsifier: Falsifier) -> LockedFalsifier:
    files = {name: file_sha256(path) for name, path in _beside(falsifier)}
    controls = {control.name: control.expected for control in falsifier.controls}
    return LockedFalsifier(file=falsifier.code, folder=manifest_digest(files), controls=controls)


def _beside(falsifier: Falsifier) -> Iterator[tuple[str, Path]]:
    """What its code may import or read next to it: the repository's folder of falsifiers, or the whole package."""
    root = falsifier.file.parent
    if not falsifier.measure.__module__.startswith(USER_MODULES):
        if not (root / "__init__.py").exists():
            yield falsifier.file.name, falsifier.file
            return
        while (root.parent / "__init__.py").exists():
            root = root.parent
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if any(part == "__pycache__" or part.startswith(".") for part in place.parts):
            continue
        if path.is_symlink() and path.is_dir():
            raise EvidenceError(
                f"{path} is a link to a folder: what a falsifier imports from there would be bound by nothing",
                hint="copy the folder there, or install it as a package",
            )
        if path.is_file():
            yield place.as_posix(), path
