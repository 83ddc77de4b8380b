"""Removes from a store in a folder what nobody needs any more, and nothing that is young, kept or in use.

Kept is what kept runs cite, and what that was made from: else the next gate would make it, and all that builds on it,
once more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refute.evidence.manifest import Manifest
from refute.evidence.store.lease import has_expired
from refute.evidence.store.local import Store, unwritable
from refute.evidence.store.remote import Remote

# Seconds. What is younger may belong to a run that has not cited it yet, or wait for its judge.
YOUNG_S = 3600.0
# No upload of one experiment takes longer.
UPLOAD_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What kept runs cite: manifest digests, and the SHA-256 of files."""

    digests: frozenset[str]
    objects: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was, or would be, removed: evidence as (name, key), paths by kind, and the bytes that this frees."""

    evidence: tuple[tuple[str, str], ...]
    paths: Mapping[str, tuple[Path | str, ...]]
    size: int


def prune(store: Store, kept: Kept, *, before: float, dry_run: bool, report: Callable[[int, int], None]) -> Pruned:
    """Remove evidence that was recorded before that moment (seconds since 1970) and is not kept; and what is left over.

    Left over are objects that no evidence names, views of what is gone, half-written files, and scratch of experiments
    that have finished. `report(done, total)` is called for each removal.

    Raises EvidenceError where another process has the store open, a manifest cannot be read, or nothing can be removed.
    """
    with store.alone():
        gone = _unneeded(store, kept, before)
        paths = _doomed(store, kept, gone, before)
        size = _freed(paths, store)
        if not dry_run:
            _remove(store, [path for kind in paths.values() for path in kind], report)
        return Pruned(tuple(sorted((manifest.name, key) for key, manifest in gone.items())), paths, size)


def prune_remote(remote: Remote, *, now: float, dry_run: bool, report: Callable[[int, int], None]) -> Pruned:
    """Remove what a store at a URL has left over: uploads a day old, objects as old that no evidence names, locks that
    have expired. Whose age the store does not say stays.

    Raises EvidenceError where the store cannot be reached, or a manifest cannot be read.
    """
    named = {digest for manifest in remote.manifests().values() for digest in manifest.files.values()}
    objects = {name: size for name, size in remote.find("objects").items() if PurePosixPath(name).name not in named}
    uploads, locks = remote.find("uploads"), remote.find("locks")

    def old(name: str) -> bool:
        written_at = remote.written_at(name)
        return written_at is not None and written_at < now - UPLOAD_S

    paths = {
        "objects": tuple(filter(old, objects)),
        "half-written": tuple(filter(old, uploads)),
        "locks": tuple(name for name in locks if has_expired(remote.read(name), now)),
    }
    going = [name for kind in paths.values() for name in kind]
    for done, name in enumerate([] if dry_run else going, start=1):
        remote.remove(name)
        report(done, len(going))
    sizes = {**objects, **uploads, **locks}
    return Pruned((), paths, sum(sizes[name] for name in going))


def _unneeded(store: Store, kept: Kept, before: float) -> dict[str, Manifest]:
    manifests = store.manifests()
    staying = {
        key
        for key, manifest in manifests.items()
        if manifest.digest in kept.digests or (store.recorded_at(key) or before) >= before
    }
    needed = {digest for key in staying for digest in manifests[key].made_from.values()}
    # What the staying were made from was made from something, too.
    while grown := {key for key, manifest in manifests.items() if manifest.digest in needed} - staying:
        staying |= grown
        needed |= {digest for key in grown for digest in manifests[key].made_from.values()}
    return {key: manifest for key, manifest in manifests.items() if key not in staying}


def _doomed(store: Store, kept: Kept, gone: Mapping[str, Manifest], before: float) -> dict[str, tuple[Path, ...]]:
    """Paths to remove, by kind, in the order in which an interruption does least harm: manifests first."""
    staying = {key: manifest for key, manifest in store.manifests().items() if key not in gone}
    named = kept.objects.union(*(manifest.files.values() for manifest in staying.values()))
    viewed = {*staying, *kept.digests}
    folder = store.root
    return {
        "evidence": tuple(store.manifest_path(key) for key in sorted(gone)),
        "views": tuple(path for path in _entries(folder / "views") if path.name not in viewed),
        "objects": tuple(path for path in _objects(folder) if path.name not in named and path.suffix != ".part"),
        "half-written": tuple(path for path in _half_written(folder) if _older(path, before)),
        "scratch": tuple(path for path in _entries(folder / "work") if path.name in {*staying, *gone}),
    }


def _objects(root: Path) -> Iterator[Path]:
    return (path for path in sorted((root / "objects").glob("*/*")) if path.is_file())


def _half_written(root: Path) -> Iterator[Path]:
    """What a killed process was writing: staged files, and archives that were being taken in."""
    for pattern in ("objects/*/*.part", "keys/*.part", "work/.import-*"):
        yield from sorted(root.glob(pattern))


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _older(path: Path, before: float) -> bool:
    return path.lstat().st_mtime < before


def _freed(paths: Mapping[str, Iterable[Path]], store: Store) -> int:
    """Bytes on disk that go: a link to an object that stays frees nothing, and two links to one count once."""
    going = {inode: size for kind in paths.values() for path in kind for inode, size in _inodes(path)}
    doomed = set(paths["objects"])
    staying = {inode for path in _objects(store.root) if path not in doomed for inode, _ in _inodes(path)}
    return sum(size for inode, size in going.items() if inode not in staying)


def _inodes(path: Path) -> Iterator[tuple[tuple[int, int], int]]:
    for file in path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]:
        status = file.lstat()
        if not file.is_dir():
            yield (status.st_dev, status.st_ino), status.st_size


def _remove(store: Store, paths: list[Path], report: Callable[[int, int], None]) -> None:
    try:
        for done, path in enumerate(paths, start=1):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            report(done, len(paths))
    except OSError as error:
        raise unwritable(store.root, error) from error
