"""Documents come out of every supported file as they went in, and a bad row is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from pyarrow import parquet

from refute.engines.distill.data.texts import find_sources, read_documents
from refute.errors import MissingInputsError, UsageError

TEXTS = ["first\nwith two lines", "", "zweites: äöü €", "third \u2028 with an odd separator", 'quotes " and \\']


def _json_lines(texts: Sequence[object], field: str = "text") -> str:
    return "".join(json.dumps({field: text, "other": 1}) + "\n" for text in texts)


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
    assert find_sources([path], "**/*") == [path]
    assert list(read_documents(path, field)) == TEXTS


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "saved"])
def test_a_row_without_the_field_is_refused_naming_what_there_is(tmp_path: Path, kind: str) -> None:
    """The message has the file, the field that was asked for and those that exist."""
    path = _write(tmp_path, kind, TEXTS)
    with pytest.raises(UsageError, match=r"rows\.\S+.* 'content', found .*text") as caught:
        list(read_documents(path, "content"))
    assert "--field" in caught.value.hint


def test_a_row_that_holds_no_text_is_named_in_every_format(tmp_path: Path) -> None:
    """Row 2 (line 3) holds null: each format says which row it is and what is there."""
    texts = ["a", "b", None, "d"]
    lines = tmp_path / "rows.jsonl"
    lines.write_text(_json_lines(texts), encoding="utf-8")
    table = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": texts}), table)
    saved = tmp_path / "saved"
    Dataset.from_dict({"text": texts}).save_to_disk(saved)
    for path, place in ((lines, "rows.jsonl:3"), (table, "rows.parquet row 2"), (saved, "saved row 2")):
        found = read_documents(path, "text")
        assert [next(found), next(found)] == ["a", "b"]
        with pytest.raises(UsageError, match=f"{place}: no text under 'text', found NoneType there"):
            next(found)


@pytest.mark.parametrize("row", ["[1, 2]", '"text"', "7", "null"])
def test_a_json_line_that_is_no_object_is_refused(tmp_path: Path, row: str) -> None:
    """JSON of another shape has no field at all; the message says what it is."""
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"text": "a"}}\n\n{row}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"rows\.jsonl:3: no text under 'text', found (list|str|int|NoneType)"):
        list(read_documents(path, "text"))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """Blank lines count, so that the number is an editor's."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"rows\.jsonl:3: not JSON"):
        list(read_documents(path, "text"))


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet", "saved", "jsonl"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    """Half a file, or bytes that are no text, end in a message that names it and not in a traceback."""
    path = _write(tmp_path, kind, [f"row {number} {number**9}" for number in range(400)])
    broken = next(path.glob("*.arrow")) if kind == "saved" else path
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2] if kind != "jsonl" else data[:40] + b"\xff\xfe" + data[42:])
    with pytest.raises(UsageError, match=rf"rows\.{kind}: cannot be read"):
        list(read_documents(path, "text"))


def test_half_a_character_in_json_counts_as_undecodable(tmp_path: Path) -> None:
    """JSON can escape a lone surrogate, which no UTF-8 can hold: that row is passed over, the others are kept."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "\\ud83d"}\n{"text": "\\ud83d\\ude00"}\n', encoding="utf-8")
    assert list(read_documents(path, "text")) == ["a", None, "\U0001f600"]


def test_a_text_file_is_one_document_and_bytes_are_none(tmp_path: Path) -> None:
    """Whatever has no known ending is read as one UTF-8 text."""
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "b.bin").write_bytes(b"\x80\x81")
    assert list(read_documents(tmp_path / "a.py", "text")) == ["x = 1\n"]
    assert list(read_documents(tmp_path / "b.bin", "text")) == [None]


def test_folders_are_searched_by_pattern_and_sorted(tmp_path: Path) -> None:
    """Files below folders come sorted, a file that is named is taken whatever the pattern, finding none is an error."""
    for name in ("b/two.py", "b/one.py", "a.txt", "c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    found = find_sources([tmp_path, tmp_path / "a.txt"], "**/*.py")
    assert [path.name for path in found] == ["one.py", "two.py", "c.py", "a.txt"]
    with pytest.raises(MissingInputsError, match=r"no file matches '\*\.rs'"):
        find_sources([tmp_path], "*.rs")
    with pytest.raises(MissingInputsError, match=r"no file or folder at .*gone"):
        find_sources([tmp_path / "gone"], "**/*")


def test_a_folder_of_several_saved_datasets_is_refused_naming_them(tmp_path: Path) -> None:
    """Their JSON and Arrow files must not become documents; each of them can be named."""
    rows = Dataset.from_dict({"text": ["a", "b"]})
    DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    with pytest.raises(UsageError, match="both holds several datasets: test, train"):
        find_sources([tmp_path / "both"], "**/*")
    train = tmp_path / "both" / "train"
    assert find_sources([train], "**/*") == [train]
    assert list(read_documents(train, "text")) == ["a", "b"]
