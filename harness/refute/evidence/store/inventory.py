"""What a store holds: evidence by name and key with its size and age, and bytes that several pieces share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from refute.evidence.manifest import Manifest


class Shelf(Protocol):
    """What an inventory is taken of: a store in a folder, or one at a URL."""

    def manifests(self) -> Mapping[str, Manifest]:
        """All that is recorded, by key."""
        ...

    def recorded_at(self, key: str) -> float | None:
        """When `key` was recorded, in seconds since 1970; None where that is not known."""
        ...

    def object_sizes(self) -> Mapping[str, int]:
        """Bytes of each object, by its SHA-256."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of evidence. `size` is in bytes; `missing` are files of it that the store does not hold."""

    key: str
    manifest: Manifest
    recorded_at: float | None
    size: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All evidence, the latest first. Sizes in bytes: of all objects, of those that several pieces of evidence name,
    and of those that none names."""

    entries: tuple[Entry, ...]
    size: int
    shared: int
    loose: int


def take_inventory(shelf: Shelf) -> Inventory:
    """Count what `shelf` holds; files are not hashed. Raises EvidenceError where a manifest cannot be read."""
    manifests, sizes = shelf.manifests(), shelf.object_sizes()
    named = Counter(digest for manifest in manifests.values() for digest in set(manifest.files.values()))
    entries = [_entry(key, manifest, shelf.recorded_at(key), sizes) for key, manifest in manifests.items()]
    return Inventory(
        entries=tuple(sorted(entries, key=lambda entry: (-(entry.recorded_at or 0.0), entry.key))),
        size=sum(sizes.values()),
        shared=sum(size for digest, size in sizes.items() if named[digest] > 1),
        loose=sum(size for digest, size in sizes.items() if not named[digest]),
    )


def _entry(key: str, manifest: Manifest, recorded_at: float | None, sizes: Mapping[str, int]) -> Entry:
    return Entry(
        key=key,
        manifest=manifest,
        recorded_at=recorded_at,
        size=sum(sizes.get(digest, 0) for digest in set(manifest.files.values())),
        missing=tuple(sorted(file for file, digest in manifest.files.items() if digest not in sizes)),
    )
