"""Tables in evidence: rows as they were written, one by one; what is broken is named; nothing non-finite passes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import ipc, parquet

from refute import Bench, Context
from refute.errors import EvidenceError, MissingDependencyError

FILES = ("rows.parquet", "rows.arrow", "rows.feather")
# More than are read at once, so that what is joined is seen.
ROWS = [{"id": n, "text": f"row {n}", "score": n / 7, "tokens": [n, n + 1], "note": None} for n in range(2500)]


def read(folder: Path, file: str, rows: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """What a falsifier reads of a table that a control put."""
    bench = Bench(folder, {}, {})
    bench.put_table("answers", file, rows)
    return list(bench.context().evidence("answers").table(file, **options))


def written(folder: Path, file: str, data: bytes) -> Context:
    """A context with one file of evidence."""
    bench = Bench(folder, {}, {})
    bench.put("answers", file, data)
    return bench.context()


@pytest.mark.parametrize("file", FILES)
def test_rows_come_back_as_they_were(tmp_path: Path, file: str) -> None:
    """In order, with absent values, lists and text; and of the columns that were asked for, no others."""
    assert read(tmp_path, file, ROWS) == ROWS
    assert read(tmp_path, file, ROWS, columns=["score", "id"])[3] == {"score": 3 / 7, "id": 3}


@pytest.mark.parametrize("file", FILES)
def test_an_empty_table_has_no_rows(tmp_path: Path, file: str) -> None:
    """And is no error: whether nothing is enough is for the falsifier to say."""
    assert read(tmp_path, file, []) == []


def test_a_stream_is_read_like_a_file(tmp_path: Path) -> None:
    """`datasets` saves streams under the suffix of files."""
    table = pyarrow.Table.from_pylist(ROWS)
    sink = pyarrow.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=999)
    context = written(tmp_path, "data.arrow", sink.getvalue().to_pybytes())
    assert list(context.evidence("answers").table("data.arrow")) == ROWS


@pytest.mark.slow
def test_a_table_larger_than_what_is_read_is_not_read_whole(tmp_path: Path) -> None:
    """The damage behind the first rows is met when they are left behind, not before."""
    path = tmp_path / "long.parquet"
    parquet.write_table(pyarrow.table({"n": list(range(200_000))}), path, row_group_size=1000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    rows = written(tmp_path, "long.parquet", bytes(data)).evidence("answers").table("long.parquet")
    assert [next(rows)["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EvidenceError, match=r"evidence 'answers': long\.parquet: cannot be read after \d+ rows"):
        list(rows)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf], {"inner": math.nan}])
def test_a_number_that_is_not_finite_is_named_by_row_and_column(tmp_path: Path, file: str, value: object) -> None:
    """Wherever in the value it is."""
    good = [1.0] if isinstance(value, list) else {"inner": 1.0} if isinstance(value, dict) else 1.0
    with pytest.raises(EvidenceError, match=rf"{file}: row 2: 'x' holds a number that is not finite"):
        read(tmp_path, file, [{"x": good}, {"x": value}])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("data", [b"", b"PAR1", b"ARROW1", b"not a table at all"])
def test_what_is_no_table_is_an_error(tmp_path: Path, file: str, data: bytes) -> None:
    """Empty, cut off, and something else."""
    with pytest.raises(EvidenceError, match=f"{file}: cannot be read after 0 rows"):
        list(written(tmp_path, file, data).evidence("answers").table(file))


@pytest.mark.parametrize("file", FILES)
def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path, file: str) -> None:
    """A misspelt column is no column of nothing."""
    with pytest.raises(EvidenceError, match="has no column 'scores'; it has: id, text, score, tokens, note"):
        read(tmp_path, file, ROWS[:1], columns=["scores"])


def test_a_suffix_says_what_a_table_is(tmp_path: Path) -> None:
    """Both ways: nothing is guessed."""
    with pytest.raises(EvidenceError, match=r"a\.csv: is no table by its name; expected one of \.parquet"):
        Bench(tmp_path, {}, {}).put_table("answers", "a.csv", [])
    with pytest.raises(EvidenceError, match=r"a\.csv: is no table by its name"):
        list(written(tmp_path, "a.csv", b"1").evidence("answers").table("a.csv"))


def test_reading_a_table_notes_its_file(tmp_path: Path) -> None:
    """As with every other reader, and when it is asked for: a measurement may be made before the last row."""
    context = written(tmp_path, "a.parquet", b"1")
    assert context.files_read() == ()
    context.evidence("answers").table("a.parquet")
    assert len(context.files_read()) == 1


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For reading and for writing."""
    context = written(tmp_path, "a.parquet", b"1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError) as reading:
        list(context.evidence("answers").table("a.parquet"))
    with pytest.raises(MissingDependencyError) as writing:
        Bench(tmp_path, {}, {}).put_table("answers", "a.parquet", [])
    assert reading.value.hint == writing.value.hint == "pip install 'refute[data]'"
