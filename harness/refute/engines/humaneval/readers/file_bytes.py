"""The bytes of a file that somebody else wrote: unpacked by what they are, whatever the name says, and as UTF-8."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"

# What begins so holds no JSON, and has a name.
_NAMES = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\x80\x04\x95": "a pickle",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file (git lfs pull)",
    b"<!DOCTYPE": "a page of HTML",
    b"<html": "a page of HTML",
    _GZIP: "packed by gzip twice",
}

# Of Inspect's own format: a zip with a file for each sample.
_MEMBERS = "samples/"


def unpacked(path: Path) -> bytes:
    """The file's text in UTF-8, without a byte order mark; of a zip by Inspect, its samples, a line each.

    Raises ValueError, which says what it is, for a file that is no text; OSError where it cannot be read.
    """
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (EOFError, zlib.error) as error:
        raise ValueError(f"gzip that is cut or damaged: {error}") from error
    if data.startswith(_ZIP):
        return _samples_in(data)
    for magic, name in _NAMES.items():
        if data.startswith(magic):
            raise ValueError(name)
    return _as_utf8(data)


def _as_utf8(data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16").encode("utf-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def _samples_in(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.startswith(_MEMBERS) and name.endswith(".json")]
            rows = [archive.read(name).replace(b"\r", b" ").replace(b"\n", b" ") for name in sorted(names)]
    except (zipfile.BadZipFile, NotImplementedError, OSError, zlib.error) as error:
        raise ValueError(f"a zip that cannot be unpacked: {error}") from error
    if not rows:
        raise ValueError("a zip without samples, and so no log of Inspect")
    return b"\n".join(rows)
