"""Manifests: the files of one piece of evidence by name and SHA-256, and the digest of that list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_SHA256 = re.compile(r"[0-9a-f]{64}")


def manifest_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of the manifest as canonical JSON: binds every file name to its content."""
    return hashlib.sha256(_manifest_bytes(files)).hexdigest()


def _manifest_bytes(files: Mapping[str, str]) -> bytes:
    # Names and hex digests only: for ASCII-safe strings this is RFC 8785 already.
    return json.dumps(dict(sorted(files.items())), separators=(",", ":"), sort_keys=True).encode()


def _parse_manifest(data: bytes) -> dict[str, str]:
    """{file name: SHA-256}. Raises ValueError for anything else, for no files, and for names that lead elsewhere."""
    files: object = json.loads(data)
    if not isinstance(files, dict) or not files:
        raise ValueError("expected an object that names files")
    for name, digest in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"the file name {name!r} leads out of the evidence")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ValueError(f"{name!r} has no SHA-256")
    return files
