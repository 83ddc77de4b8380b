"""Packs runs and the evidence that they cite into one file, for a machine that judges or verifies."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

from refute.disk import file_sha256, writing
from refute.errors import EvidenceError, UsageError
from refute.evidence.store.archive import Contents, Member, add_contents, header, object_member
from refute.evidence.store.local import Store
from refute.spec.fields import first_fault


@dataclass(frozen=True, slots=True)
class Packing:
    """What is packed: run folders by id, the manifest digests and the files that they cite, and keys named besides."""

    runs: Mapping[str, Path]
    digests: frozenset[str]
    objects: frozenset[str]
    keys: frozenset[str]


def export(store: Store, packing: Packing, target: Path, report: Callable[[int, int], None]) -> Contents:
    """Write `packing` to the new file `target`, whole or not at all; `report(done, total)` counts bytes.

    Raises UsageError where something lies at `target`, EvidenceError where the store does not hold what is cited, or
    holds it damaged, and as `disk.unwritable` says where `target` cannot be written.
    """
    if os.path.lexists(target):
        raise UsageError(f"there is something at {target} already", hint="name another file with --to, or delete it")
    sources = dict(sorted(_sources(store, packing).items()))
    contents = _contents({name: _member(name, path) for name, path in sources.items()})
    done = 0

    def count(piece: int) -> None:
        nonlocal done
        done += piece
        report(done, contents.size)

    with _whole_file(target) as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        add_contents(archive, contents)
        for name, path in sources.items():
            with path.open("rb") as source:
                counted = cast("IO[bytes]", _Counted(source, count))
                archive.addfile(header(name, contents.files[name].size), counted)
    return contents


def _contents(members: Mapping[str, Member]) -> Contents:
    try:
        return Contents(refute_archive=1, files=dict(members))
    except ValidationError as error:
        raise EvidenceError(
            f"this cannot be packed, for no store would take it in: {first_fault(error)}",
            hint="rename the folder or file of the run that it names",
        ) from error


def _sources(store: Store, packing: Packing) -> dict[str, Path]:
    """The file of each member, by its name in the archive."""
    manifests = {
        key: manifest
        for key, manifest in store.manifests().items()
        if key in packing.keys or manifest.digest in packing.digests
    }
    objects = packing.objects.union(*(manifest.files.values() for manifest in manifests.values()))
    return {
        **{object_member(digest): store.object_path(digest) for digest in objects},
        **{f"keys/{key}.json": store.manifest_path(key) for key in manifests},
        **{f"runs/{run}/{name}": path for run, folder in packing.runs.items() for name, path in _files(folder)},
    }


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def _member(name: str, path: Path) -> Member:
    """What `path` holds now. Raises EvidenceError for an object that is not what its name says."""
    found = file_sha256(path) if path.is_file() else "nothing"
    if name.startswith("objects/") and not name.endswith(found):
        raise EvidenceError(
            f"an object that is to be packed should have SHA-256 {path.name}, found {found} at {path}",
            hint="name the store of that run with --store; a damaged object goes with `rm`, and its experiment again",
        )
    return Member(sha256=found, size=path.stat().st_size)


@contextmanager
def _whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A stream whose content appears at `target` when nothing went wrong, and nowhere else."""
    staged = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with writing(target, hint="make room, or name another file with --to"):
            with staged.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            staged.replace(target)
    finally:
        with suppress(OSError):  # below a file there is nothing to remove
            staged.unlink()


class _Counted:
    """A stream to read from that reports how much was read."""

    def __init__(self, stream: IO[bytes], report: Callable[[int], None]) -> None:
        self._stream, self._report = stream, report

    def read(self, size: int = -1) -> bytes:
        """As the stream does."""
        piece = self._stream.read(size)
        self._report(len(piece))
        return piece


def keys_named(store: Store, text: str) -> frozenset[str]:
    """The keys of all evidence called `text`, or `text` itself where it is a key."""
    return frozenset(key for key, manifest in store.manifests().items() if text in (key, manifest.name))
