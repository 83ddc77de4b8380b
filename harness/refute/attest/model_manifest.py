"""The manifest and digest of a model: what a verdict is about, equal to what its OpenSSF `model.sig` states.

Root digest (OpenSSF Model Signing 1.0, §6.5.1; method `files`, SHA-256): SHA-256 over the raw SHA-256 digests
of all files in canonical order. It does not cover file names; `ModelManifest.manifest_digest` does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.attest.canonical import Json, canonical_json, sha256_hex
from refute.disk import file_sha256
from refute.errors import UnreadableInputError, VerificationError

# What the reference implementation leaves out by default, at the top level only.
_GIT_PATHS = frozenset({".git", ".gitattributes", ".github", ".gitignore"})

# What `hf download` and `snapshot_download(local_dir=)` of huggingface_hub leave beside the files that they bring.
_HUB_CACHE = ".cache/huggingface"

# Its command line leaves out the signature that it writes, by default under this name.
SIGNATURE_FILE = "model.sig"

# Verdicts and other statements about a model are laid beside its files when it is published, at the top level.
STATEMENT_SUFFIX = ".sigstore.json"
IGNORED_PATHS = tuple(sorted(_GIT_PATHS | {_HUB_CACHE, SIGNATURE_FILE, f"*{STATEMENT_SUFFIX}"}))


@dataclass(frozen=True, slots=True)
class Resource:
    """One file of a model: its path below the folder, with `/`, and the SHA-256 of its bytes, hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Every file of a model in canonical order, from one pass over its bytes."""

    resources: tuple[Resource, ...]

    @property
    def root_digest(self) -> str:
        """The subject of a verdict: SHA-256 over the raw digests. Blind to names."""
        return sha256_hex(b"".join(bytes.fromhex(resource.sha256) for resource in self.resources))

    @property
    def manifest_digest(self) -> str:
        """SHA-256 of the RFC 8785 form of `as_json()`: changes with every content and every name."""
        return sha256_hex(canonical_json(self.as_json()))

    def as_mapping(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {resource.name: resource.sha256 for resource in self.resources}

    @staticmethod
    def serialization() -> dict[str, Json]:
        """How a root digest is made of files; `ignore_paths` start at the model's folder, a star is any name."""
        return {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": IGNORED_PATHS}

    def as_json(self) -> dict[str, Json]:
        """The `serialization` and `resources` members of an OpenSSF model signing predicate."""
        return {
            "serialization": self.serialization(),
            "resources": [
                {"name": resource.name, "algorithm": "sha256", "digest": resource.sha256} for resource in self.resources
            ],
        }


def hash_model(path: str | os.PathLike[str]) -> ModelManifest:
    """Hash every file of the model folder `path`, or the one file that it is (named `.`).

    A snapshot in the hub's cache holds links alone: those are followed into the `blobs/` of that cache, and no further.
    Raises UnreadableInputError if nothing is there or a file cannot be read. Raises VerificationError where a
    digest would be ambiguous or empty: other symbolic links, sockets and devices, names that are not UTF-8, a
    folder without files, layouts that the OpenSSF specification and its reference implementation order
    differently.
    """
    root = Path(path)
    try:
        # Component order, as the reference implementation sorts.
        names = sorted(_file_names(root), key=lambda name: tuple(name.split("/")))
        _check_names(names, root)
        return ModelManifest(tuple(Resource(name, file_sha256(root / name)) for name in names))
    except OSError as error:
        raise UnreadableInputError(f"cannot read the model {error.filename or root}: {error.strerror}") from error


def manifest_of_digests(digests: Mapping[str, str], where: Path) -> ModelManifest:
    """The manifest of a model in `where` whose files are hashed already: SHA-256 by path. Raises as `hash_model`."""
    kept = (name for name in digests if not is_left_out(name))
    names = sorted(kept, key=lambda name: tuple(name.split("/")))
    _check_names(names, where)
    return ModelManifest(tuple(Resource(name, digests[name]) for name in names))


def model_digest(path: str | os.PathLike[str]) -> str:
    """The OpenSSF root digest of the model folder or file `path`, hexadecimal; raises as `hash_model`."""
    return hash_model(path).root_digest


def is_left_out(name: str) -> bool:
    """Whether the file `name`, a path below its model folder with `/`, is no part of the model."""
    # A folder named like the signature is not one, and could hide files.
    if name.partition("/")[0] in _GIT_PATHS or name == SIGNATURE_FILE:
        return True
    return name.startswith(f"{_HUB_CACHE}/") or ("/" not in name and name.endswith(STATEMENT_SUFFIX))


def _file_names(root: Path) -> Iterator[str]:
    kind = root.lstat().st_mode
    if stat.S_ISLNK(kind) and _is_blob(root, _blobs_of(root.parent)):
        kind = stat.S_IFREG
    _refuse_special(kind, root)
    if stat.S_ISREG(kind):
        yield "."
        return
    folders, blobs = [""], _blobs_of(root)
    while folders:
        prefix = folders.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                kind = entry.stat(follow_symlinks=False).st_mode
                name = f"{prefix}{entry.name}"
                if stat.S_ISLNK(kind) and _is_blob(root / name, blobs):
                    kind = stat.S_IFREG
                # Other links are refused under an ignored name, too, as the reference implementation does.
                if not stat.S_ISLNK(kind) and is_left_out(f"{name}/" if stat.S_ISDIR(kind) else name):
                    continue
                _refuse_special(kind, root / name)
                if stat.S_ISDIR(kind):
                    folders.append(f"{name}/")
                else:
                    yield name


def _blobs_of(root: Path) -> Path | None:
    """Where the files of a snapshot lie, if `root` is one in the hub's cache: <model>/snapshots/<commit>."""
    snapshots = root.absolute().parent
    blobs = snapshots.parent / "blobs"
    return blobs.resolve() if snapshots.name == "snapshots" and blobs.is_dir() else None


def _is_blob(link: Path, blobs: Path | None) -> bool:
    """Whether `link` points to a file directly in `blobs`, and that is no link itself."""
    if blobs is None:
        return False
    target = Path(os.path.normpath(link.parent.resolve() / link.readlink()))
    return target.parent == blobs and stat.S_ISREG(target.lstat().st_mode)


def _refuse_special(kind: int, path: Path) -> None:
    if stat.S_ISLNK(kind):
        raise VerificationError(
            f"{path} is a symbolic link; a digest of it would say nothing about what it points to tomorrow",
            hint="copy the files into a folder of their own (cp -rL), or name the hub's snapshot folder itself",
        )
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise VerificationError(f"{path} is neither a file nor a folder", hint="name a model folder, or a GGUF file")


def _check_names(names: list[str], root: Path) -> None:
    if not names:
        raise VerificationError(f"the model folder {root} holds no files", hint="an empty model proves nothing")
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise VerificationError(f"the file name {name!a} in {root} is not UTF-8") from error
    by_code_point = sorted(names)
    if names != by_code_point:
        first, second = next(pair for pair in zip(names, by_code_point, strict=True) if pair[0] != pair[1])
        raise VerificationError(
            f"{root}: the OpenSSF specification and its reference implementation order {second!r} and "
            f"{first!r} differently, so this model has two root digests",
            hint="rename one of them, or move the folder's files up",
        )
