"""Takes an archive of another machine into a store: every file is checked before the first of them appears."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from refute.disk import file_sha256
from refute.errors import ArchiveError, EvidenceError, UsageError
from refute.evidence.manifest import Manifest, parse_manifest
from refute.evidence.store.archive import Contents, Member, copy_hashed, read_contents
from refute.evidence.store.local import Store, unwritable


@dataclass(frozen=True, slots=True)
class Imported:
    """What an archive held: ids of runs, and evidence as (name, key)."""

    runs: tuple[str, ...]
    evidence: tuple[tuple[str, str], ...]


def import_archive(store: Store, runs: Path, source: Path, report: Callable[[int, int], None]) -> Imported:
    """Take the runs of the archive `source` into the folder `runs` and its evidence into `store`, or nothing of it.

    `report(done, total)` counts bytes. What is there already and equal is left as it is.

    Raises:
        UsageError: `source` cannot be read.
        ArchiveError: it is no archive, is cut short, or holds anything but the files that it declares.
        EvidenceError: it holds a run or key that is here already with other contents, or there is no room for it.
    """
    staged = Path(tempfile.mkdtemp(prefix=".import-", dir=store.root / "work"))
    try:
        contents = _unpack(source, staged, report)
        manifests = _manifests(contents, staged, store, source)
        _refuse_conflicts(contents, manifests, store, runs)
        _publish(contents, staged, store, runs)
    except OSError as error:
        raise unwritable(store.root, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Imported(contents.runs, tuple(sorted((manifest.name, key) for key, manifest in manifests.items())))


def _unpack(source: Path, staged: Path, report: Callable[[int, int], None]) -> Contents:
    """Write the members of `source` below `staged`: those that its contents declare, each as declared, all of them."""
    try:
        with _opened(source) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            contents = read_contents(archive, str(source))
            _require_room(contents, staged)
            left, done = dict(contents.files), 0
            while (member := archive.next()) is not None:
                declared = left.pop(member.name, None)
                _refuse_unlike(member, declared, source)
                _extract(archive, member, staged, declared, source)
                done += member.size
                report(done, contents.size)
    except (tarfile.TarError, ValueError) as error:  # of what is in a header, too
        raise ArchiveError(f"{source} is no tar file, or is cut short: {error}", hint="copy it again") from error
    if left:
        raise ArchiveError(
            f"{source} ends without {len(left)} of the files that it declares, such as {min(left)}",
            hint="it is cut short: copy it again",
        )
    return contents


def _opened(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read {source}: {error.strerror or error}", hint="name a file that `refute store export` made"
        ) from error


def _require_room(contents: Contents, staged: Path) -> None:
    free = shutil.disk_usage(staged).free
    if contents.size > free:
        raise EvidenceError(
            f"the archive declares {contents.size:,} bytes, and {free:,} are free at {staged.parent.parent}",
            hint="free some disk space, or give another folder with --store",
        )


def _refuse_unlike(member: tarfile.TarInfo, declared: Member | None, source: Path) -> None:
    """Raises ArchiveError for a member that is not exactly one declared file, such as a link or a second one."""
    fault = ""
    if declared is None:
        fault = "which its contents do not declare, or a second time"
    elif not member.isreg() or member.issparse():
        fault = "which is no plain file"
    elif member.size != declared.size:
        fault = f"of {member.size:,} bytes, where its contents declare {declared.size:,}"
    if fault:
        raise ArchiveError(
            f"{source} holds {member.name!r}, {fault}", hint="it was not made by `refute store export`: do not trust it"
        )


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, staged: Path, declared: Member | None, source: Path
) -> None:
    path = staged / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = archive.extractfile(member)
    if stream is None:
        raise ArchiveError(f"{source} holds {member.name!r}, which is no plain file")
    with stream, path.open("xb") as target:
        found = copy_hashed(stream, target, lambda _: None)
        target.flush()
        os.fsync(target.fileno())
    if found != declared:
        expected = declared.sha256 if declared else "nothing"
        raise ArchiveError(
            f"{member.name!r} of {source} should have SHA-256 {expected}, found {found.sha256} ({found.size:,} bytes)",
            hint="it was damaged or changed on its way: copy it again",
        )


def _manifests(contents: Contents, staged: Path, store: Store, source: Path) -> dict[str, Manifest]:
    """The manifests in the archive. Raises ArchiveError for one that is none, or whose files are nowhere."""
    found: dict[str, Manifest] = {}
    for key in contents.keys:
        try:
            manifest = found[key] = parse_manifest((staged / "keys" / f"{key}.json").read_bytes())
        except ValueError as error:
            raise ArchiveError(f"{source} holds a manifest keys/{key}.json that is none: {error}") from error
        for file, digest in sorted(manifest.files.items()):
            if not _held(staged, digest) and not store.object_path(digest).is_file():
                raise ArchiveError(
                    f"{source} records {manifest.name!r}, but holds no file with SHA-256 {digest} ({file!r})",
                    hint="it was not made by `refute store export`: do not trust it",
                )
    return found


def _held(staged: Path, digest: str) -> bool:
    return (staged / "objects" / digest[:2] / digest).is_file()


def _refuse_conflicts(contents: Contents, manifests: dict[str, Manifest], store: Store, runs: Path) -> None:
    """Raises EvidenceError where a key or a run is here with other contents: what is here stays."""
    for key, manifest in manifests.items():
        here = store.manifest(key)
        if here is not None and here.digest != manifest.digest:
            raise EvidenceError(
                f"evidence {manifest.name!r} of key {key} is here with other contents: {here.digest}, and not "
                f"{manifest.digest}",
                hint=f"one experiment gave two results: take the archive into another store, or delete "
                f"{store.manifest_path(key)}",
            )
    for run in contents.runs:
        if (runs / run).exists() and _listing(runs / run) != _declared(contents, run):
            raise EvidenceError(
                f"the run {run} is here with other contents, at {runs / run}",
                hint="name another folder with --refute-dir, or move that run away",
            )


def _declared(contents: Contents, run: str) -> dict[str, str]:
    prefix = f"runs/{run}/"
    return {
        name.removeprefix(prefix): member.sha256 for name, member in contents.files.items() if name.startswith(prefix)
    }


def _listing(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def _publish(contents: Contents, staged: Path, store: Store, runs: Path) -> None:
    """Move everything to its place, each file at once: objects, then the keys that name them, then whole runs."""
    for name in (name for name in contents.files if name.startswith("objects/")):
        target = store.object_path(Path(name).name)
        if not target.is_file() or file_sha256(target) != target.name:
            target.parent.mkdir(exist_ok=True)
            (staged / name).chmod(0o444)
            (staged / name).replace(target)
    for key in contents.keys:
        if store.manifest(key) is None:
            (staged / "keys" / f"{key}.json").replace(store.manifest_path(key))
    for run in contents.runs:
        if not (runs / run).exists():
            _move_folder(staged / "runs" / run, runs / run)


def _move_folder(source: Path, target: Path) -> None:
    """A rename at the end, also where `target` is on another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    near = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
    try:
        shutil.move(source, near / "run")
        (near / "run").replace(target)
    finally:
        shutil.rmtree(near, ignore_errors=True)
