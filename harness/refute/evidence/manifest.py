"""Manifests: the files of one piece of evidence by name and SHA-256, and the digest of that list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from refute.spec.fields import Closed, Sha256


def _stay_below(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is not the name of a file below its folder")
    return name


FileName = Annotated[str, AfterValidator(_stay_below)]


class Ran(Closed):
    """What an experiment's process really was, as it said itself when it was done.

    `modules` are those that no installed distribution lists, refute's own among them, with the SHA-256 of their source;
    those `outside` lie in no folder of libraries. `distributions` are the others' versions and content digests.
    `variables` are those of its environment that can change a number.
    """

    modules: dict[str, Sha256]
    outside: tuple[str, ...]
    distributions: dict[str, str]
    variables: dict[str, str]


class Manifest(Closed):
    """`keys/<key>.json`: what an experiment wrote, and the digests of the evidence that it was made from, by name.

    `ran` says what wrote it; of evidence that was only taken in it says nothing. It is no part of the digest: equal
    files are equal evidence.
    """

    name: str
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    made_from: dict[str, Sha256]
    ran: Ran | None = None

    @property
    def digest(self) -> str:
        """What a record cites: it binds names and contents of the files, and nothing else."""
        return manifest_digest(self.files)

    def to_bytes(self) -> bytes:
        """The manifest as its file holds it: equal manifests have equal bytes."""
        return _canonical(self.model_dump(mode="json", exclude_none=True))


def manifest_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of {file name: SHA-256} as canonical JSON: binds every file name to its content."""
    return hashlib.sha256(_canonical(dict(files))).hexdigest()


def parse_manifest(data: bytes) -> Manifest:
    """Raises ValueError for anything else, for no files, and for names that lead elsewhere."""
    return Manifest.model_validate_json(data)


def _canonical(content: Mapping[str, object]) -> bytes:
    # Strings alone, and of those that a digest is taken of names and hex digits: this is RFC 8785 already.
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
