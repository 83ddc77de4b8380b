"""What a file is, by its bytes first and by its name where they do not say; its bytes unpacked, its text decoded."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from refute.errors import MissingDependencyError, UsageError


class FileFormat(StrEnum):
    """How texts lie in a source."""

    JSON = "JSON"
    PARQUET = "Parquet"
    SAVED = "saved dataset"
    TEXT = "text"


_JSON_NAMES = (".json", ".jsonl", ".ndjson", ".jsonlines", ".jl")
_PACKED_NAMES = (".gz", ".bz2", ".xz", ".zst")
_PARQUET_MARK = b"PAR1"

# What is no text and holds none that could be told apart, by name and, at a place among the bytes, by mark.
_OTHER_NAMES = {
    **dict.fromkeys((".csv", ".tsv", ".xlsx", ".xls"), "a table"),
    **dict.fromkeys((".ipynb", ".pdf", ".docx"), "a document with a layout"),
    **dict.fromkeys((".tar", ".tgz", ".zip", ".7z", ".rar"), "an archive"),
}
_OTHER_MARKS = (
    (0, b"PK\x03\x04", "an archive"),
    (0, b"7z\xbc\xaf", "an archive"),
    (257, b"ustar", "an archive"),
    (0, b"%PDF-", "a document with a layout"),
    (0, b"ARROW1", "a table"),
    (0, b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file,"),
)
_WAY_OUT = {
    "a table": "save it as JSON lines or Parquet, with the text in one column",
    "a document with a layout": "save its text as .txt",
    "an archive": "unpack it",
    "a pointer of Git LFS, not the file,": "fetch the file itself with `git lfs pull`",
}

# UTF-32's little-endian mark begins with UTF-16's.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 512
_FIRST_LINE = 2**20

# What reading raises for a file that is cut short or damaged, packed or not.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
AGAIN = "copy or fetch the file again"


class UndecodableError(Exception):
    """Bytes that are not in the encoding that a file claims: UTF-8, or what its byte order mark says."""

    def __init__(self, error: UnicodeDecodeError, lines_before: int = 0) -> None:
        self.line = lines_before + bytes(error.object[: error.start]).count(b"\n") + 1
        super().__init__(f"byte {error.object[error.start]:#04x} is not {error.encoding}")


def file_format(source: Path) -> FileFormat:
    """How texts lie in `source`, a file or the folder of a saved dataset.

    Raises UsageError, naming it, for a file that is an archive, a table without a text column or another thing that
    cannot be read as text; MissingDependencyError for one that is packed with zstd where pyarrow is absent.
    """
    if source.is_dir():
        return FileFormat.SAVED
    try:
        with open_unpacked(source) as stream:
            head = stream.read(_HEAD)
            line = head + stream.readline(_FIRST_LINE)
    except DAMAGED as error:
        raise UsageError(f"{source}: cannot be read: {error}", hint=AGAIN) from error
    if head.startswith(_PARQUET_MARK):
        return FileFormat.PARQUET
    name = _plain_name(source)
    _refuse_other(source, name, head)
    if name.endswith(".parquet"):
        raise UsageError(f"{source}: cannot be read as Parquet, it begins with {head[:4]!r}", hint="fetch it again")
    return FileFormat.JSON if name.endswith(_JSON_NAMES) or _begins_with_row(line) else FileFormat.TEXT


@contextmanager
def open_unpacked(source: Path) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file, without the compression that its first bytes tell of."""
    with source.open("rb") as file:
        head = file.read(6)
    unpack = next((unpack for mark, unpack in _PACKED.items() if head.startswith(mark)), None)
    with source.open("rb") if unpack is None else unpack(source) as stream:
        yield stream


def read_text(source: Path) -> str:
    """All of a file's text, its byte order mark dropped: UTF-8, or UTF-16 and UTF-32 that begin with their mark.

    Raises UndecodableError with the line, and one of DAMAGED.
    """
    with open_unpacked(source) as stream:
        data = stream.read()
    try:
        return data.decode(_encoding(data[:4]))
    except UnicodeDecodeError as error:
        raise UndecodableError(error) from error


def read_lines(source: Path) -> Iterator[str]:
    """Its lines, one after the other, as an editor counts them. Raises as `read_text` does."""
    with open_unpacked(source) as stream:
        encoding = _encoding(stream.read(4))
    if encoding != "utf-8-sig":
        yield from read_text(source).split("\n")
        return
    with open_unpacked(source) as stream:
        for number, line in enumerate(stream):
            try:
                # A mark may stand at any line's beginning, where files were put together.
                yield line.decode(encoding)
            except UnicodeDecodeError as error:
                raise UndecodableError(error, number) from error


def _encoding(begin: bytes) -> str:
    return next((encoding for mark, encoding in _ENCODINGS if begin.startswith(mark)), "utf-8-sig")


def _plain_name(source: Path) -> str:
    name = source.name.lower()
    return next((name.removesuffix(end) for end in _PACKED_NAMES if name.endswith(end)), name)


def _refuse_other(source: Path, name: str, head: bytes) -> None:
    found = next((what for end, what in _OTHER_NAMES.items() if name.endswith(end)), None) or next(
        (what for place, mark, what in _OTHER_MARKS if head[place:].startswith(mark)), None
    )
    if found is not None:
        raise UsageError(
            f"{source} is {found} and cannot be read as text",
            hint=f"{_WAY_OUT[found]}, or leave it out with --pattern",
        )


def _begins_with_row(begin: bytes) -> bool:
    """Whether the first line is a JSON object by itself, whatever the file is called."""
    line = begin.decode(_encoding(begin), errors="ignore").split("\n", 1)[0]
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _open_zstd(source: Path) -> io.BufferedIOBase:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("files packed with zstd", "data") from error
    return io.BufferedReader(pyarrow.input_stream(str(source), compression="zstd"))


_PACKED: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _open_zstd,
}
