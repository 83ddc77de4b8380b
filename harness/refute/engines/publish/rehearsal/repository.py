"""What a hub keeps: repositories of commits, branches and tags over files on disk that are named by their SHA-256."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from refute.disk import file_sha256
from refute.engines.publish.manifest import git_sha1

# What a hub puts into every new repository: what is stored as a large file.
ATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % each for each in (b"safetensors", b"gguf", b"bin")
)
_LARGE_SUFFIXES = (".safetensors", ".gguf", ".bin")
_LARGE_FROM = 10 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RefusedError(Exception):
    """What a hub answers in the place of doing it: an HTTP status, and a word for programs (`X-Error-Code`)."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit. `sha256` names where its bytes are kept; `large`: git has only a pointer to them."""

    sha256: str
    git_sha1: str
    size: int
    large: bool

    def entry(self, path: str) -> dict[str, object]:
        """Its line in a tree."""
        found: dict[str, object] = {"type": "file", "path": path, "oid": self.git_sha1, "size": self.size}
        if self.large:
            found["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(_pointer(self.sha256, self.size))}
        return found


@dataclass(frozen=True, slots=True)
class Commit:
    """The whole tree after it, by path."""

    oid: str
    parent: str | None
    title: str
    tree: Mapping[str, Blob]


@dataclass(slots=True)
class Repository:
    """Commits by their id; branches and tags name one. `private` ones are there for whoever has the token."""

    private: bool = False
    gated: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag or an id names. Raises RefusedError where there is none."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The commit there and those before it, the newest first."""
        found = [self.at(revision)]
        while found[-1].parent is not None:
            found.append(self.commits[found[-1].parent])
        return found


@dataclass(slots=True)
class Storage:
    """Files below `folder` by their SHA-256; what a commit may name is what was put here before."""

    folder: Path
    _numbers: count[int] = field(default_factory=count)

    def path(self, sha256: str) -> Path:
        """Where the bytes of that name are, or will be. Raises RefusedError for any other name, such as `../x`."""
        if _SHA256.fullmatch(sha256) is None:
            raise RefusedError(404, "no file is kept under a name that is no SHA-256")
        return self.folder / sha256

    def part(self, sha256: str) -> Path:
        """Where this thread collects them until they are whole."""
        return self.path(sha256).with_suffix(f".{threading.get_ident()}.part")

    def put(self, data: bytes) -> str:
        """Keep a small file; its SHA-256."""
        name = hashlib.sha256(data).hexdigest()
        self.path(name).write_bytes(data)
        return name

    def size(self, sha256: str) -> int | None:
        """Bytes that are kept under that name, None where none are."""
        path = self.path(sha256)
        return path.stat().st_size if path.is_file() else None

    def join(self, sha256: str, parts: Sequence[str]) -> None:
        """Keep one file of these `parts`, in their order. Raises RefusedError where one was not uploaded.

        They stay: whoever got no answer asks again.
        """
        if lacking := [each for each in parts if self.size(each) is None]:
            raise RefusedError(400, f"the part {lacking[0]} does not exist")
        with self.part(sha256).open("wb") as out:
            for each in parts:
                with self.path(each).open("rb") as part:
                    shutil.copyfileobj(part, out)
        self.part(sha256).replace(self.path(sha256))

    def digest(self, blob: Blob) -> str:
        """SHA-256 of the bytes that are really kept for a file."""
        return file_sha256(self.path(blob.sha256))

    def begin(self) -> Repository:
        """A new repository with its first commit, as a hub makes it."""
        found = Repository()
        self.commit(found, "main", "initial commit", {".gitattributes": self.regular(ATTRIBUTES)}, None)
        return found

    def regular(self, data: bytes) -> Blob:
        """A file that git itself holds."""
        return Blob(self.put(data), git_sha1(data), len(data), large=False)

    def large(self, sha256: str, size: int) -> Blob:
        """A file that git holds a pointer to. Raises RefusedError where its bytes were not uploaded before."""
        if self.size(sha256) is None:
            raise RefusedError(400, f"the LFS object {sha256} does not exist")
        return Blob(sha256, git_sha1(_pointer(sha256, size)), size, large=True)

    def commit(
        self, repository: Repository, branch: str, title: str, changes: Mapping[str, Blob], parent: str | None
    ) -> Commit:
        """Put `changes` on a branch. Raises RefusedError (412) where `parent` is named and is not its last commit."""
        head = repository.branches.get(branch)
        if head is None and repository.commits:
            raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        if parent is not None and parent != head:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        before = {} if head is None else repository.commits[head].tree
        oid = hashlib.sha1(f"{head}/{next(self._numbers)}/{title}".encode(), usedforsecurity=False).hexdigest()
        made = Commit(oid, head, title, {**before, **changes})
        repository.commits[oid] = made
        repository.branches[branch] = oid
        return made


def is_large(path: str, size: int) -> bool:
    """Whether a hub keeps a file outside git."""
    return path.endswith(_LARGE_SUFFIXES) or size > _LARGE_FROM


def part_names(sha256: str, size: int, part_size: int) -> list[str]:
    """What the parts of a file are kept under, one name where it is sent in one piece."""
    count = max(1, -(-size // part_size))
    return [hashlib.sha256(f"{sha256}/{number}".encode()).hexdigest() for number in range(count)]


def without(commit: Commit, path: str) -> Commit:
    """The same commit less one file: what a hub that loses files has."""
    return replace(commit, tree={name: blob for name, blob in commit.tree.items() if name != path})


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
