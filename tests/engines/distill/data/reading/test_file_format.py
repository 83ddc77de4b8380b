"""A file is what its bytes are, whatever it is called, however it is packed and marked."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from refute.engines.distill.data.reading.file_format import FileFormat, file_format, read_text
from refute.engines.distill.data.reading.texts import Reading, read_documents
from refute.errors import UsageError

TEXTS = ["first\nwith two lines", "zweites: äöü €", "[third]"]
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
ARRAY = json.dumps([{"text": text} for text in TEXTS], indent=1)


def _zstd(data: bytes) -> bytes:
    packed = pa.compress(data, codec="zstd", asbytes=True)
    assert isinstance(packed, bytes)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", LINES), ("a.JSONL", LINES), ("a.json", ARRAY), ("a.ndjson", f"\n {ARRAY}"), ("a.txt", LINES)],
)
def test_rows_are_found_in_any_dress(tmp_path: Path, name: str, content: str, mark: str, packed: str) -> None:
    """Lines and arrays, under every name, packing and byte order mark, are the same three texts."""
    path = tmp_path / f"{name}{packed.upper()}"
    path.write_bytes(PACKERS[packed](content.encode(mark)))
    assert file_format(path) is FileFormat.JSON
    assert list(read_documents(path, Reading())) == TEXTS


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_is_unpacked_and_loses_its_mark(tmp_path: Path, mark: str, packed: str) -> None:
    """No byte order mark is among the characters; line ends stay as they are."""
    path = tmp_path / f"a.txt{packed}"
    path.write_bytes(PACKERS[packed]("eins\r\nzwei ü\n".encode(mark)))
    assert file_format(path) is FileFormat.TEXT
    assert read_text(path) == "eins\r\nzwei ü\n"


def test_marks_within_a_file_that_was_put_together_are_no_text(tmp_path: Path) -> None:
    """Two marked files one after the other, and a mark within a row's text: none of it reaches a document."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES.encode("utf-8-sig") * 2 + json.dumps({"text": "\ufeffend"}).encode())
    assert list(read_documents(path, Reading())) == [*TEXTS, *TEXTS, "end"]


def test_one_object_over_several_lines_is_a_row(tmp_path: Path) -> None:
    """A file that holds one object, written for people, is one row; one without the field names what it has."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"text": "a", "n": 1}, indent=2), encoding="utf-8")
    assert list(read_documents(path, Reading())) == ["a"]
    with pytest.raises(UsageError, match=r"a\.json:1: no text under 'body', found text, n"):
        list(read_documents(path, Reading("body")))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz"])
@pytest.mark.parametrize("shape", ["lines", "array"])
def test_a_byte_that_is_no_utf8_is_named_with_its_line(tmp_path: Path, name: str, shape: str) -> None:
    """Latin-1 in line 31 is in line 31, and the way to UTF-8 is named."""
    rows = [
        json.dumps({"text": f"row {number}" + ("é" if number == 31 else "")}, ensure_ascii=False)
        for number in range(32)
    ]
    text = "\n".join(rows) if shape == "lines" else "[" + ",\n".join(rows) + "]"
    (tmp_path / name).write_bytes(PACKERS[".gz" if name.endswith("gz") else ""](text.encode("latin-1")))
    with pytest.raises(UsageError, match=rf"{name}:32: byte 0xe9 is not utf-8") as caught:
        list(read_documents(tmp_path / name, Reading()))
    assert "iconv" in caught.value.hint


def test_a_table_is_known_by_its_bytes(tmp_path: Path) -> None:
    """Parquet under another name is Parquet, and something else under its name is refused."""
    parquet.write_table(pa.table({"text": TEXTS}), tmp_path / "rows.data")
    assert list(read_documents(tmp_path / "rows.data", Reading())) == TEXTS
    (tmp_path / "a.parquet").write_text("text\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.parquet: cannot be read as Parquet, it begins with b'text'"):
        file_format(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "what", "way"),
    [
        ("a.csv", b"text\na\n", "a table", "JSON lines"),
        ("a.TSV.gz", b"text\na\n", "a table", "JSON lines"),
        ("a.bin", b"PK\x03\x04rest", "an archive", "unpack"),
        ("a.dat.gz", b"\0" * 257 + b"ustar\0", "an archive", "unpack"),
        ("a", b"%PDF-1.7", "a document with a layout", "txt"),
        ("a.ipynb", b"{}", "a document with a layout", "txt"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "lfs pull"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, name: str, content: bytes, what: str, way: str) -> None:
    """A table, an archive, a layout and a pointer: what it is, and what to do instead."""
    (tmp_path / name).write_bytes(PACKERS[".gz"](content) if name.endswith(".gz") else content)
    with pytest.raises(UsageError, match=f"{name} is {what}") as caught:
        file_format(tmp_path / name)
    assert way in caught.value.hint
