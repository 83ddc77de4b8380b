"""`refute lock`: digest what a release is about to be judged by and made from, and sign it before the run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from refute.attest import (
    PrivateKey,
    default_key_directory,
    development_key,
    key_id,
    load_private_key,
    public_pem,
    sha256_hex,
)
from refute.errors import EvidenceError, LooseningError, MissingInputsError, SpecError, UsageError, VerificationError
from refute.evidence import Store, file_sha256, manifest_digest
from refute.experiments import Plan, key_of, source_digest
from refute.linting import check_specs
from refute.loading import USER_MODULES
from refute.lock import Facts, Lock, LockedFalsifier, LockedRelease, LockedSpec, Promise, RunLock
from refute.lock_changes import changes, loosened, relaxing
from refute.lock_file import SignedLock, checked_pem, lock_path, read_lock, sign_lock
from refute.plan import input_digests, plan_release
from refute.preregistration import Conduct, preregistration
from refute.promise import Change
from refute.registry import Falsifier, Registry
from refute.release_choice import choose_release, spec_files
from refute.release_file import LoadedRelease, load_release, resolve
from refute.run_folder import utc_now
from refute.spec import LoadedSpec, load_spec, merge


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock on disk. `changes` lead here from the lock before it; nothing was `written` where that one still holds."""

    path: Path
    signed: SignedLock
    changes: tuple[Change, ...]
    written: bool


def load_locked(release: Path | None, specs: Sequence[Path]) -> tuple[LoadedRelease, tuple[LoadedSpec, ...]]:
    """The release and the specs that a gate run would use: those that the release demands and those named, else all.

    `specs` are files or folders, by default `specs`. Raises UsageError or SpecError as the gate would.
    """
    roots = list(specs) or [Path("specs")]
    loaded = load_release(release or choose_release([root for root in roots if root.is_dir()] or [Path("specs")]))
    demanded = [resolve(loaded, text).resolve() for text in loaded.release.specs]
    named = spec_files(roots) if specs or not demanded else []
    paths = list(dict.fromkeys([*demanded, *named]))
    if not paths:
        raise UsageError(f"no specs: nothing to lock (looked in {', '.join(map(str, roots))})")
    return loaded, merge([load_spec(path) for path in paths])


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

    A lock that lies there already must be signed by one of `trusted_keys` (PEM; by default the public half of
    `key`); the new one cites it. `store` is looked through for evidence of this release that exists already.

    Raises:
        SpecError: the specs do not fit the falsifiers.
        MissingInputsError: a model, file or folder that the release names is not there to be digested.
        VerificationError: the lock that lies there is none, or nobody trusted signed it.
        LooseningError: the new lock would promise less under the same ids and versions.
        UsageError: the lock there is another release's, or the file cannot be written.
    """
    problems = [each for each in check_specs(specs, registry) if not each.message.startswith("[spec/uncovered]")]
    if problems:
        raise SpecError(problems, hint="`refute check` lists these")
    path = out or lock_path(release.path)
    promise = Promise(
        release=_locked_release(release),
        specs=_locked_specs(specs),
        facts=find_facts(release, specs, registry),
        policy=None if policy is None else sha256_hex(_read(policy)),
    )
    former = _former(path, release, trusted_keys or [public_pem(key)])
    made = changes(former.lock.promise, promise) if former else ()
    if former and not made and former.key_id == key_id(public_pem(key)):
        return Locked(path, former, (), written=False)
    if former and (refused := loosened(former.lock.promise, promise)):
        raise _loosening(path, refused)
    lock = Lock(
        promise=promise,
        locked_at=utc_now(),
        sequence=former.lock.sequence + 1 if former else 1,
        predecessor=former.payload_sha256 if former else None,
        relaxed=(*(former.lock.relaxed if former else ()), *relaxing(made)),
        known_before=_known(plan_release(release.release, release.path.parent), store),
        verifier_version=version("refute"),
    )
    envelope = sign_lock(lock, key)
    _write(path, envelope + b"\n")
    return Locked(path, read_lock(envelope, [public_pem(key)]), made, written=True)


def find_facts(release: LoadedRelease, specs: Sequence[LoadedSpec], registry: Registry) -> Facts:
    """Digests of the engine, of the falsifiers that `specs` use, and of everything that `release` names.

    Raises MissingInputsError for what is not there, EvidenceError for what cannot be read.
    """
    used = sorted(
        {use.uses for each in specs for criterion in each.spec.criteria for use in criterion.falsifiers if use.uses}
    )
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

    What the lock is worth is not decided here. Raises UsageError where `named` is not there or cannot be read.
    """
    path = named or lock_path(release.path)
    if named is None and not os.path.lexists(path):
        return None
    envelope = _read(path).decode("utf-8", "replace")  # what is not UTF-8 will not verify
    return RunLock(name=str(path), envelope=envelope, facts=find_facts(release, specs, registry))


def foresee(
    lock: RunLock | None,
    release: LoadedRelease,
    specs: Sequence[LoadedSpec],
    lock_keys: Sequence[Path],
    signing_key: Path | None,
) -> tuple[str, ...]:
    """Why a run under `lock`, begun now, can only end in NO-GO; empty where the lock holds, or there is none.

    Raises MissingInputsError or VerificationError for a key that cannot be used.
    """
    if lock is None:
        return ()
    trusted = [_read(path) for path in lock_keys] or [_public_half(signing_key)]
    conduct = Conduct(_locked_release(release), _locked_specs(specs), utc_now(), (), {})
    return preregistration(lock, [checked_pem(pem) for pem in trusted], conduct).reasons


def _public_half(key: Path | None) -> bytes:
    return public_pem(load_private_key(key or development_key(default_key_directory())[0]))


def _locked_release(release: LoadedRelease) -> LockedRelease:
    return LockedRelease(sha256=release.sha256, content=release.release)


def _locked_specs(specs: Sequence[LoadedSpec]) -> tuple[LockedSpec, ...]:
    return tuple(LockedSpec(sha256=each.sha256, content=each.spec) for each in specs)


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
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in place.parts):
            yield place.as_posix(), path


def _former(path: Path, release: LoadedRelease, trusted_keys: Sequence[bytes]) -> SignedLock | None:
    if not os.path.lexists(path):
        return None
    try:
        former = read_lock(_read(path), trusted_keys)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingInputsError(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, data: bytes) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(data)
        staged.replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="give another file with --out"
        ) from error
