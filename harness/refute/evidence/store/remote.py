"""Evidence at a URL that a team shares, on any file system that fsspec speaks to.

    store.json, objects/, keys/     as in a folder; a manifest is written last, and once
    locks/<key>.json                who makes the evidence of that key (`lease`)
    uploads/<token>/                objects on their way; an upload that dies leaves them, and nothing else

Whoever reads hashes what arrived.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from refute.disk import create_file
from refute.errors import EvidenceError, RefuteError
from refute.evidence.manifest import Manifest, parse_manifest
from refute.evidence.store.layout import CONTENT, MARKER, check_marker, not_a_store


@dataclass(frozen=True, slots=True)
class Remote:
    """The files below `root` of the fsspec file system `files`, which people know as `url`.

    Every method raises EvidenceError, naming the URL and the object, where the file system fails.
    """

    url: str
    files: Any
    root: str

    def claim(self) -> None:
        """Make this a store, unless it is one. Raises EvidenceError where other things lie here."""
        marker = self.read(MARKER)
        if marker is None:
            with self._reaching("its listing"):
                there = sorted(PurePosixPath(name).name for name in self._listing())
            if there and MARKER not in there:
                raise not_a_store(self.url, there)
            self.create(MARKER, CONTENT)
            marker = self.read(MARKER) or b""
        check_marker(marker, f"{self.url}/{MARKER}")

    def require(self) -> None:
        """Raises EvidenceError unless this is a store already."""
        marker = self.read(MARKER)
        if marker is None:
            raise EvidenceError(
                f"there is no evidence store at {self.url}: it has no {MARKER}",
                hint="correct the URL; the first gate with that --store makes one",
            )
        check_marker(marker, f"{self.url}/{MARKER}")

    def read(self, name: str) -> bytes | None:
        """The bytes of `name`, or None where it is not there."""
        with self._reaching(name):
            try:
                data: bytes = self.files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return data

    def create(self, name: str, data: bytes) -> bool:
        """Put `data` at `name` unless something is there; return whether it was put. Atomic where the store can."""
        with self._reaching(name):
            if self._is_local:  # fsspec's own way looks first and writes then, which two writers may do at once
                self._local(name).parent.mkdir(parents=True, exist_ok=True)
                return create_file(self._local(name), data, 0o644)
            try:
                self.files.pipe_file(self._at(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def replace(self, name: str, data: bytes) -> None:
        """Put `data` at `name`, whatever was there; nobody reads half of it."""
        with self._reaching(name):
            if self._is_local:
                staged = self._local(f"{name}.{secrets.token_hex(8)}.part")
                staged.write_bytes(data)
                staged.replace(self._local(name))
            else:
                self.files.pipe_file(self._at(name), data)

    def remove(self, name: str) -> None:
        """Remove the file `name`, if it is there."""
        with self._reaching(name):
            try:
                self.files.rm_file(self._at(name))
            except FileNotFoundError:
                return

    def manifest(self, key: str) -> Manifest | None:
        """What is recorded for `key`, or None. Raises EvidenceError where that is no manifest."""
        name = f"keys/{key}.json"
        data = self.read(name)
        try:
            return None if data is None else parse_manifest(data)
        except ValueError as error:
            raise EvidenceError(
                f"{self.url}/{name} is no manifest: {error}", hint="delete it: the experiment will run again"
            ) from error

    def record(self, key: str, manifest: Manifest) -> None:
        """Record `manifest` for `key`, after its objects. Raises EvidenceError where another was recorded before."""
        if self.create(f"keys/{key}.json", manifest.to_bytes()):
            return
        there = self.manifest(key)
        if there is None or there.digest != manifest.digest:
            raise EvidenceError(
                f"{self.url} records another result for evidence {manifest.name!r} of key {key}: "
                f"{there.digest if there else 'nothing that stays'}, and not {manifest.digest}",
                hint="one experiment gave two results: find out why, or delete the wrong manifest, here or there",
            )

    def upload(self, digest: str, source: Path) -> None:
        """Put the object `digest` there, whole or not at all, unless it is there."""
        final, size = f"objects/{digest[:2]}/{digest}", source.stat().st_size
        if self._size(final) == size:
            return
        staged = f"uploads/{secrets.token_hex(8)}/{digest}"
        with self._reaching(final):
            self._make_parent(staged)
            self.files.put_file(str(source), self._at(staged))
        arrived = self._size(staged)
        if arrived != size:
            raise EvidenceError(
                f"{self.url}/{staged} arrived with {arrived} of {size} bytes",
                hint="run again: what was computed is kept on this machine, and uploaded then",
            )
        with self._reaching(final):
            self._make_parent(final)
            self.files.mv(self._at(staged), self._at(final))

    def download(self, digest: str, target: Path) -> None:
        """Write the object `digest` to `target`, as it arrives: it is the caller who hashes."""
        name = f"objects/{digest[:2]}/{digest}"
        with self._reaching(name):
            self.files.get_file(self._at(name), str(target))

    def manifests(self) -> Mapping[str, Manifest]:
        """All that is recorded, by key."""
        keys = [PurePosixPath(name).stem for name in self.find("keys") if name.endswith(".json")]
        found = {key: self.manifest(key) for key in keys}
        return {key: manifest for key, manifest in found.items() if manifest is not None}

    def recorded_at(self, key: str) -> float | None:
        """When `key` was recorded, in seconds since 1970; None where that is not known."""
        return self.written_at(f"keys/{key}.json")

    def object_sizes(self) -> Mapping[str, int]:
        """Bytes of each object, by its SHA-256."""
        return {PurePosixPath(name).name: size for name, size in self.find("objects").items()}

    def find(self, folder: str) -> dict[str, int]:
        """Bytes of each file below `folder`, by its name here."""
        with self._reaching(folder):
            self.files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = self.files.find(self._at(folder), detail=True)
            start = len(self.root) + 1
            return {name[start:]: int(about["size"]) for name, about in sorted(found.items())}

    def written_at(self, name: str) -> float | None:
        """When the file `name` was written, in seconds since 1970; None where this store does not say."""
        with self._reaching(name):
            try:
                moment: float = self.files.modified(self._at(name)).timestamp()
            except (NotImplementedError, FileNotFoundError):
                return None
            return moment

    def _size(self, name: str) -> int | None:
        with self._reaching(name):
            try:
                return int(self.files.info(self._at(name))["size"])
            except FileNotFoundError:
                return None

    def _listing(self) -> list[str]:
        try:
            found: list[str] = self.files.ls(self.root, detail=False)
        except FileNotFoundError:
            return []
        return [name for name in found if not PurePosixPath(name).name.startswith(".")]

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}"

    @property
    def _is_local(self) -> bool:
        from fsspec.implementations.local import LocalFileSystem

        return isinstance(self.files, LocalFileSystem)

    def _local(self, name: str) -> Path:
        return Path(self._at(name))

    def _make_parent(self, name: str) -> None:
        if self._is_local:  # elsewhere there are no folders
            self._local(name).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        try:
            yield
        except RefuteError:
            raise
        except Exception as error:  # each file system raises what its client library does
            raise EvidenceError(
                f"the store {self.url} failed at {name}: {type(error).__name__}: {error}",
                hint="check network, URL and credentials, then run again: what was computed is kept on this machine, "
                "and uploaded then",
            ) from error
