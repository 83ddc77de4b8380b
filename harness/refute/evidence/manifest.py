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


class Manifest(Closed):
    """`keys/<key>.json`: what an experiment wrote, and the digests of the evidence that it was made from, by name."""

    name: str
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    made_from: dict[str, Sha256]

    @property
    def digest(self) -> str:
        """What a record cites: it binds names and contents of the files, and nothing else."""
        return manifest_digest(self.files)

    def to_bytes(self) -> bytes:
        """The manifest as its file holds it: equal manifests have equal bytes."""
        return _canonical(self.model_dump(mode="json"))


def manifest_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of {file name: SHA-256} as canonical JSON: binds every file name to its content."""
    return hashlib.sha256(_canonical(dict(files))).hexdigest()


def parse_manifest(data: bytes) -> Manifest:
    """Raises ValueError for anything else, for no files, and for names that lead elsewhere."""
    return Manifest.model_validate_json(data)


def _canonical(content: Mapping[str, object]) -> bytes:
    # Names and hex digests only: for ASCII-safe strings this is RFC 8785 already.
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
