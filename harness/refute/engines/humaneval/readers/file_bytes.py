"""The bytes of a file that somebody else wrote: unpacked by what they are, whatever the name says, and as UTF-8."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
import zlib
from pathlib import Path

_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"


def _zstd(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.input_stream(io.BytesIO(data), compression="zstd").read())


_PACKED = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ\x00": ("xz", lzma.decompress),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
# A tar archive's name for itself stands behind its first file's head.
_TAR, _TAR_AT = b"ustar", 257

# What begins so holds no JSON, and has a name.
_NAMES = {
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    **{b"\x80" + bytes([protocol]): "a pickle" for protocol in range(2, 6)},
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file (git lfs pull)",
    b"<!DOCTYPE": "a page of HTML",
    b"<html": "a page of HTML",
    **{magic: f"packed by {name} twice" for magic, (name, _) in _PACKED.items()},
}

# Of Inspect's own format: a zip with a file for each sample.
_MEMBERS = "samples/"


def unpacked(path: Path) -> bytes:
    """The file's text in UTF-8, without a byte order mark; of a zip its only file, or Inspect's samples, a line each.

    Of a Parquet file it is its rows, a line of JSON each, where pyarrow is installed.
    Raises ValueError, which says what it is, for a file that is no text; OSError where it cannot be read.
    """
    data = _opened(path.read_bytes())
    if data.startswith(_ZIP):
        return _samples_in(data)
    if data.startswith(_PARQUET):
        return _rows_in(data)
    if data[_TAR_AT:].startswith(_TAR):
        raise ValueError("a tar archive: unpack it, and name the file in it")
    for magic, name in _NAMES.items():
        if data.startswith(magic):
            raise ValueError(name)
    return _as_utf8(data)


def _opened(data: bytes) -> bytes:
    for magic, (name, opened) in _PACKED.items():
        if data.startswith(magic):
            try:
                return opened(data)
            except ImportError:
                raise ValueError(f"packed by {name}, which pyarrow reads and is not installed here") from None
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise ValueError(f"{name} that is cut or damaged: {error}") from error
    return data


def _as_utf8(data: bytes) -> bytes:
    """By a byte order mark, or the zeros that JSON's first signs have in wider encodings."""
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        return data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(encoding).removeprefix("\ufeff").encode("utf-8")


def _rows_in(data: bytes) -> bytes:
    """The rows of a Parquet file, a line of JSON each."""
    try:
        from pyarrow import parquet

        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except ImportError:
        raise ValueError("a Parquet file, which pyarrow reads and is not installed here") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"a Parquet file that is cut or damaged: {error}") from error
    return b"\n".join(json.dumps(row, default=str).encode("ascii") for row in rows)


def _samples_in(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.startswith(_MEMBERS) and name.endswith(".json")]
            if not names and len(alone := archive.namelist()) == 1:
                return _as_utf8(archive.read(alone[0]))
            rows = [archive.read(name).replace(b"\r", b" ").replace(b"\n", b" ") for name in sorted(names)]
    except (zipfile.BadZipFile, NotImplementedError, OSError, zlib.error) as error:
        raise ValueError(f"a zip that cannot be unpacked: {error}") from error
    if not rows:
        raise ValueError("a zip of several files, and no log of Inspect: unpack it, and name the file in it")
    return b"\n".join(rows)
