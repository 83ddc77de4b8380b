"""A store at a URL as a gate uses it: a folder on this machine, and what others computed fetched into it and hashed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from refute.disk import file_sha256
from refute.errors import EvidenceError
from refute.evidence.manifest import Manifest, Ran
from refute.evidence.store.lease import Timing, leased
from refute.evidence.store.local import NOTHING, Store, unwritable
from refute.evidence.store.remote import Remote
from refute.falsifier.context import Evidence


class SharedStore(Store):
    """The store `remote`, over the folder `cache`. Raises EvidenceError where either cannot be used.

    What is computed here lies in `cache` first: where the upload fails, the next run that asks for it uploads it.
    """

    def __init__(self, remote: Remote, cache: Path, timing: Timing | None = None) -> None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(cache)
        self.remote = remote
        self._timing = timing or Timing()
        remote.claim()

    def find(self, name: str, key: str) -> Evidence | None:
        """As in a folder; what is only there comes here, and what is only here goes there.

        Raises EvidenceError, too, where here and there differ, and for an object that is not what its name says.
        """
        here, there = self.manifest(key), self.remote.manifest(key)
        if there is None:
            found = super().find(name, key)
            if found is not None and here is not None:
                self._share(key, here)
            return found
        if here is None:
            self._fetch(name, there.files)
            self.record(key, there)
        elif here.digest != there.digest:
            self.remote.record(key, here)
        return super().find(name, key)

    def add(
        self, name: str, key: str, folder: Path, made_from: Mapping[str, str] = NOTHING, ran: Ran | None = None
    ) -> Evidence:
        """As in a folder, and then there."""
        evidence = super().add(name, key, folder, made_from, ran)
        manifest = self.manifest(key)
        if manifest is not None:
            self._share(key, manifest)
        return evidence

    def manifests(self) -> dict[str, Manifest]:
        """All that is recorded here or there, by key."""
        return {**self.remote.manifests(), **super().manifests()}

    def bring(self, digests: Collection[str], keys: Collection[str], objects: Iterable[str]) -> None:
        """Have in the folder here the evidence with one of these manifest digests or keys, and these objects."""
        for key, manifest in self.manifests().items():
            if key in keys or manifest.digest in digests:
                self.find(manifest.name, key)
        for digest in sorted(objects):
            self.fetched(digest)

    def share(self, keys: Iterable[str]) -> None:
        """Have there what is recorded here under `keys`, as an import leaves it."""
        for key in keys:
            manifest = self.manifest(key)
            if manifest is not None:
                self._share(key, manifest)

    def view(self, name: str, files: Mapping[str, str]) -> Path:
        """As in a folder; what is not here is fetched."""
        self._fetch(name, files)
        return super().view(name, files)

    def fetched(self, digest: str) -> Path:
        """The object `digest` in the folder here. Raises EvidenceError where it cannot be had, or is another file."""
        target = self.object_path(digest)
        if not target.is_file():
            staged = target.with_suffix(f".{os.getpid()}.part")
            try:
                target.parent.mkdir(exist_ok=True)
                self.remote.download(digest, staged)
                self._accept(staged, digest)
                staged.chmod(0o444)
                staged.replace(target)
            except OSError as error:
                raise unwritable(self.root, error) from error
            finally:
                staged.unlink(missing_ok=True)
        return target

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold `key` alone among the processes of this machine, and among the machines that share the store."""
        with super().lock(key, on_wait), leased(self.remote, key, on_wait, self._timing):
            yield

    def _share(self, key: str, manifest: Manifest) -> None:
        for digest in sorted(set(manifest.files.values())):
            self.remote.upload(digest, self.object_path(digest))
        self.remote.record(key, manifest)

    def _fetch(self, name: str, files: Mapping[str, str]) -> None:
        for file, digest in sorted(files.items()):
            try:
                self.fetched(digest)
            except EvidenceError as error:
                raise EvidenceError(f"evidence {name!r}, file {file!r}: {error}", hint=error.hint) from error

    def _accept(self, staged: Path, digest: str) -> None:
        found = file_sha256(staged)
        if found != digest:
            name = f"{self.remote.url}/objects/{digest[:2]}/{digest}"
            raise EvidenceError(
                f"{name} should have that SHA-256, found {found} ({staged.stat().st_size:,} bytes)",
                hint="delete it, and the keys that name it: the experiment will run again",
            )
