"""The evidence store in a folder: files by their SHA-256, and keys that say which files an experiment produced.

    store.json           says that this is a store, and how it is laid out
    objects/ab/abcd…     one file each, named by its SHA-256, read-only
    keys/<key>.json      manifest: name, {file name: SHA-256}, what it was made from; written last, so a half-written
                         result has no key
    views/<key>/         the manifest's files under their names (hard links into objects/)
    work/<key>/          scratch of an experiment that has not finished: checkpoints survive a kill here
    locks/<key>          held while an experiment of that key runs, so two runs never do the same work
    in-use               locked by everybody who has the store open; `alone` needs it for itself

A key is the digest of everything that enters an experiment. What is read is hashed again before use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from refute.disk import file_sha256, link_or_copy
from refute.errors import EvidenceError, RefuteError, UsageError
from refute.evidence.manifest import Manifest, Ran, manifest_digest, parse_manifest
from refute.evidence.store.layout import FOLDERS, claim
from refute.falsifier.context import Evidence

NOTHING: Mapping[str, str] = {}


def _file_name(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EvidenceError(f"the file name {name!a} is not UTF-8", hint="rename the file") from error
    return name


class Store:
    """Evidence below one folder. Raises EvidenceError when the folder cannot be written."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            claim(self.root)
            for name in FOLDERS:
                (self.root / name).mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / "work"):
                pass
            self._use = os.open(self.root / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unwritable(self.root, error) from error
        weakref.finalize(self, os.close, self._use)
        fcntl.flock(self._use, fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the store to oneself; whoever opens it meanwhile waits. Raises EvidenceError where others have it open.

        They hold it as long as their process may use what they found here: a gate until it ends.
        """
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            fcntl.flock(self._use, fcntl.LOCK_SH)
            raise EvidenceError(
                f"the evidence store {self.root} is in use by another process",
                hint="wait until the gate or judge that uses it has ended, then try again",
            ) from error
        try:
            yield
        finally:
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def find(self, name: str, key: str) -> Evidence | None:
        """The evidence of `key`, every file hashed again; None when that experiment has not finished.

        Raises:
            EvidenceError: a recorded file is missing or differs from its digest.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return None
        for file, digest in sorted(manifest.files.items()):
            self._check(name, file, digest, self.manifest_path(key))
        return Evidence(name, manifest.digest, self._view(key, manifest.files), manifest.files)

    def recorded(self, key: str) -> str | None:
        """The digest of the manifest recorded for `key`, its files not looked at; None where there is no manifest."""
        try:
            return parse_manifest(self.manifest_path(key).read_bytes()).digest
        except (OSError, ValueError):
            return None

    def manifest(self, key: str) -> Manifest | None:
        """What is recorded for `key`, or None. Raises EvidenceError where that is no manifest."""
        path = self.manifest_path(key)
        try:
            return parse_manifest(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EvidenceError(
                f"the manifest of evidence is no manifest: {path}: {error}",
                hint=f"delete {path}: the experiment will run again",
            ) from error

    def manifests(self) -> dict[str, Manifest]:
        """All that is recorded, by key. Raises EvidenceError where one is no manifest."""
        found = {path.stem: self.manifest(path.stem) for path in sorted((self.root / "keys").glob("*.json"))}
        return {key: manifest for key, manifest in found.items() if manifest is not None}

    def recorded_at(self, key: str) -> float | None:
        """When `key` was recorded, in seconds since 1970; None where it is not."""
        path = self.manifest_path(key)
        return path.stat().st_mtime if path.exists() else None

    def object_sizes(self) -> dict[str, int]:
        """Bytes of each object, by its SHA-256."""
        return {path.name: path.stat().st_size for path in (self.root / "objects").glob("*/*") if not path.suffix}

    def manifest_path(self, key: str) -> Path:
        """Where the manifest of `key` is, or would be."""
        return self.root / "keys" / f"{key}.json"

    def _check(self, name: str, file: str, digest: str, manifest: Path) -> None:
        path = self.object_path(digest)
        found = file_sha256(path) if path.is_file() else "nothing"
        if found != digest:
            raise EvidenceError(
                f"evidence {name!r}: file {file!r} should have SHA-256 {digest}, found {found} at {path}",
                hint=f"delete {manifest} and {path}: the experiment will run again",
            )

    def view(self, name: str, files: Mapping[str, str]) -> Path:
        """A folder with `files` under their names, from the objects here, whatever key they are filed under.

        Raises EvidenceError for a file that the store does not hold; whether its content is right is not looked at.
        """
        for file, digest in sorted(files.items()):
            if not self.object_path(digest).is_file():
                raise EvidenceError(
                    f"evidence {name!r}: the store {self.root} holds no file with SHA-256 {digest} ({file!r})",
                    hint="copy the whole store of the run, or give the right one with --store",
                )
        return self._view(manifest_digest(files), files)

    def add(
        self, name: str, key: str, folder: Path, made_from: Mapping[str, str] = NOTHING, ran: Ran | None = None
    ) -> Evidence:
        """Copy every file below `folder` into the store and record them under `key`, atomically.

        `made_from` are the digests of the evidence that it builds on, by name: who keeps this keeps that. `ran` is what
        made it.
        """
        try:
            files = {_file_name(path, folder): self._keep(path) for path in sorted(folder.rglob("*")) if path.is_file()}
            if not files:
                raise EvidenceError(f"experiment {name!r} wrote no files: nothing is not evidence")
            # What an earlier result of this key left there would be read along with the new one.
            shutil.rmtree(self.root / "views" / key, ignore_errors=True)
            manifest = Manifest(name=name, files=files, made_from=dict(made_from), ran=ran)
            self.record(key, manifest)
        except OSError as error:
            raise unwritable(self.root, error) from error
        return Evidence(name, manifest_digest(files), self._view(key, files), files)

    def record(self, key: str, manifest: Manifest) -> None:
        """Record `manifest`, whose objects are here, for `key`: atomically, whatever was recorded before."""
        _write_atomically(self.manifest_path(key), manifest.to_bytes())

    def _keep(self, path: Path) -> str:
        digest = file_sha256(path)
        target = self.object_path(digest)
        # An object that is there may be damaged, and this is the moment at which its content is at hand.
        if not target.is_file() or file_sha256(target) != digest:
            target.parent.mkdir(exist_ok=True)
            staged = target.with_suffix(f".{os.getpid()}.part")
            shutil.copyfile(path, staged)
            staged.chmod(0o444)
            staged.replace(target)
        return digest

    def object_path(self, digest: str) -> Path:
        """Where the file with that SHA-256 is, or would be."""
        return self.root / "objects" / digest[:2] / digest

    def _view(self, key: str, files: Mapping[str, str]) -> Path:
        view = self.root / "views" / key
        for file, digest in files.items():
            path = view / file
            source = self.object_path(digest)
            if path.exists() and path.samefile(source):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(source, path)
        return view

    def scratch(self, key: str) -> Path:
        """The folder that an unfinished experiment of `key` may keep between runs."""
        folder = self.root / "work" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard_scratch(self, key: str) -> None:
        """Forget an experiment's working folder once its evidence is recorded."""
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold `key` alone among all processes on this machine; `on_wait()` is called first if another holds it."""
        with (self.root / "locks" / key).open("w", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _write_atomically(path: Path, data: bytes) -> None:
    staged = path.with_suffix(f".{os.getpid()}.part")
    with staged.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    staged.replace(path)


def unwritable(root: Path, error: OSError) -> RefuteError:
    """Why the store at `root` cannot be written, and what helps: a UsageError where that is no folder."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    kind = EvidenceError if there.is_dir() else UsageError
    return kind(
        f"the evidence store {root} cannot be written: {error.strerror or error}",
        hint="free some disk space" if full else "give another folder with --store, or make this one writable",
    )
