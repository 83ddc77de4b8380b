"""Documents come out of every supported file as they went in, and a bad row is named."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet

from refute.engines.distill.data.reading.texts import Reading, Unread, read_documents
from refute.errors import UsageError

TEXTS = ["first\nwith two lines", "", "zweites: äöü €", "third \u2028 with an odd separator", 'quotes " and \\']


def _json_lines(texts: Sequence[object], field: str = "text") -> str:
    return "".join(json.dumps({field: text, "other": 1}) + "\n" for text in texts)


def _read(path: Path, field: str = "text") -> list[str | Unread]:
    return list(read_documents(path, Reading(field)))


def _write(folder: Path, kind: str, texts: Sequence[str], field: str = "text") -> Path:
    """A file of that kind which holds `texts`."""
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.table({"id": list(range(len(texts))), field: list(texts)}), path, row_group_size=2)
    elif kind == "saved":
        Dataset.from_dict({field: list(texts), "n": list(range(len(texts)))}).save_to_disk(path)
    elif kind.endswith(".gz"):
        path.write_bytes(gzip.compress(_json_lines(texts, field).encode()))
    else:
        path.write_text(_json_lines(texts, field), encoding="utf-8")
    return path


@pytest.mark.parametrize("field", ["text", "content"])
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "ndjson", "ndjson.gz", "parquet", "saved"])
def test_every_format_gives_the_texts_back_in_order(tmp_path: Path, kind: str, field: str) -> None:
    """Line breaks, quotes and other alphabets survive; `field` chooses the column."""
    path = _write(tmp_path, kind, TEXTS, field)
    assert _read(path, field) == TEXTS


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "saved"])
def test_a_row_without_the_field_is_refused_naming_what_there_is(tmp_path: Path, kind: str) -> None:
    """The message has the file, the field that was asked for and those that exist."""
    path = _write(tmp_path, kind, TEXTS)
    with pytest.raises(UsageError, match=r"rows\.\S+.* 'content', found .*text") as caught:
        _read(path, "content")
    assert "--field" in caught.value.hint


def test_a_null_is_told_from_text_in_every_format(tmp_path: Path) -> None:
    """Row 2 (line 3) holds null: each format says where it is, and the texts around it are read."""
    texts = ["a", "b", None, "d"]
    lines = tmp_path / "rows.jsonl"
    lines.write_text(_json_lines(texts), encoding="utf-8")
    array = tmp_path / "rows.json"
    array.write_text(json.dumps([{"text": text} for text in texts]), encoding="utf-8")
    table = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": texts}), table)
    saved = tmp_path / "saved"
    Dataset.from_dict({"text": texts}).save_to_disk(saved)
    places = {lines: ":3", array: " entry 2", table: " row 2", saved: " row 2"}
    for path, place in places.items():
        assert _read(path) == ["a", "b", Unread("null", f"{path}{place}"), "d"]


@pytest.mark.parametrize("value", [7, ["a"], {"a": "b"}])
def test_a_row_that_holds_something_else_is_named(tmp_path: Path, value: object) -> None:
    """A number, a list or an object is no text; the message says where and what, and how to name what is inside."""
    path = tmp_path / "rows.jsonl"
    path.write_text(_json_lines(["a", value]), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"rows\.jsonl:2: no text under 'text', found {type(value).__name__}.* there"):
        _read(path)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "saved"])
def test_a_field_inside_another_is_named_with_dots(tmp_path: Path, kind: str) -> None:
    """A text within a column is found in every format, and a null on the way to it is a null."""
    rows = [{"meta": {"body": "a", "n": 1}}, {"meta": None}, {"meta": {"body": None, "n": 2}}, {"meta": {"body": "b"}}]
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        Dataset.from_list(rows).save_to_disk(path)
    found = _read(path, "meta.body")
    assert [each.reason if isinstance(each, Unread) else each for each in found] == ["a", "null", "null", "b"]
    with pytest.raises(UsageError, match="no text under 'meta', found dict of body, n there"):
        _read(path, "meta")


@pytest.mark.parametrize("row", ["[1, 2]", '"text"', "7", "null"])
def test_a_json_line_that_is_no_object_is_refused(tmp_path: Path, row: str) -> None:
    """JSON of another shape has no field at all; the message says what it is."""
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"text": "a"}}\n\n{row}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"rows\.jsonl:3: no text under 'text', found (list|str|int|NoneType)"):
        _read(path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """Blank lines count, so that the number is an editor's."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"rows\.jsonl:3: not JSON"):
        _read(path)


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet", "saved"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    """Half a file ends in a message that names it and not in a traceback."""
    path = _write(tmp_path, kind, [f"row {number} {number**9}" for number in range(400)])
    broken = next(path.glob("*.arrow")) if kind == "saved" else path
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=rf"rows\.{kind}: cannot be read"):
        _read(path)


def test_half_a_character_in_json_counts_as_undecodable(tmp_path: Path) -> None:
    """JSON can escape a lone surrogate, which no UTF-8 can hold: that row is passed over, the others are kept."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "\\ud83d"}\n{"text": "\\ud83d\\ude00"}\n', encoding="utf-8")
    assert _read(path) == ["a", Unread("undecodable", f"{path}:2"), "\U0001f600"]


def test_a_text_file_is_one_document_and_bytes_are_none(tmp_path: Path) -> None:
    """Whatever has no known ending is read as one UTF-8 text; what is none says where."""
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"ab\n\x80\x81")
    (tmp_path / "c.bin").write_bytes(b"\x01\0\x02")
    assert _read(tmp_path / "a.py") == ["x = 1\n"]
    assert _read(tmp_path / "b.txt") == [Unread("undecodable", f"{tmp_path / 'b.txt'}:2, byte 0x80 is not utf-8")]
    assert _read(tmp_path / "c.bin") == [Unread("undecodable", f"{tmp_path / 'c.bin'}, bytes of 0")]


SEPARATOR = re.compile(r"^<end>\n", re.MULTILINE)


@pytest.mark.parametrize("text", ["one\n<end>\ntwo\n", "<end>\none\n<end>\n \n<end>\ntwo\n<end>\n"])
def test_a_separator_ends_one_text_of_a_text_file_and_begins_the_next(tmp_path: Path, text: str) -> None:
    """Nothing of a text is lost or added, and blank pieces are no documents; rows of JSON are not cut."""
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    assert list(read_documents(tmp_path / "a.txt", Reading(separator=SEPARATOR))) == ["one\n", "two\n"]
    assert list(read_documents(tmp_path / "a.jsonl", Reading(separator=SEPARATOR))) == [text]
