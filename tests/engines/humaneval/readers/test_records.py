"""What a file's bytes and lines hold, whatever its name says: no value of it is lost, and what is none has a name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from json_lines import write_rows
from refute.engines.humaneval.problems.problems import load_problems
from refute.engines.humaneval.readers.sample_file import read_samples
from refute.errors import MissingInputsError
from toy_answers import ALL as TOY
from toy_answers import CASES, passes

TOY_0, CANONICAL = TOY[0].task_id, TOY[0].canonical_solution
ROWS = [json.dumps({"task_id": each.task_id, "completion": each.canonical_solution}) for each in TOY]


def test_the_bytes_decide_and_not_the_name(tmp_path: Path) -> None:
    """Packed under a plain name, plain under a packed one, UTF-16, and marks at the beginning: the same samples."""
    plain = (CASES / "score" / "15_array.json").read_bytes()
    alone = io.BytesIO()
    with zipfile.ZipFile(alone, "w") as archive:
        archive.writestr("s.json", plain)
    table = io.BytesIO()
    rows = [
        {"doc": {"id": str(n)}, "model_response": {"text": [each.canonical_solution]}} for n, each in enumerate(TOY)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    texts = {
        "packed.zst": pyarrow.compress(plain, codec="zstd", asbytes=True),
        "table.parquet": table.getvalue(),
        "packed.jsonl": gzip.compress(plain),
        "packed.gz": bz2.compress(plain),
        "packed.bz2": lzma.compress(plain),
        "alone.json": alone.getvalue(),
        "wider.json": plain.decode("utf-8").encode("utf-32"),
        "unmarked.json": plain.decode("utf-8").encode("utf-16-le"),
        "plain.jsonl.gz": plain,
        "wide.json": plain.decode("utf-8").encode("utf-16"),
        "packed.json": gzip.compress(b"\xef\xbb\xbf" + plain),
    }
    for name, data in texts.items():
        (tmp_path / name).write_bytes(data)
        assert len(read_samples(tmp_path / name, TOY).samples) == 3, name
    problems = (CASES / "toy_problems.jsonl").read_bytes()
    (tmp_path / "p.jsonl").write_bytes(gzip.compress(b"\xef\xbb\xbf" + problems))
    assert load_problems(tmp_path / "p.jsonl") == TOY


def test_objects_printed_one_behind_the_other_are_read(tmp_path: Path) -> None:
    """As `jq` prints them, each with the line that it begins in; half of one is no sample, and neither is a verdict."""
    path, rows = tmp_path / "s.json", [{"task_id": each.task_id, "completion": each.canonical_solution} for each in TOY]
    path.write_text("\n".join(json.dumps(row, indent=2) for row in rows), encoding="utf-8")
    assert [(each.line, passes(each)) for each in read_samples(path, TOY).samples] == [(1, True), (5, True), (9, True)]
    path.write_text(json.dumps(rows[0], indent=2) + json.dumps(rows[1], indent=2)[:-3], encoding="utf-8")
    found = read_samples(path, TOY)
    assert ([each.task_id for each in found.samples], [each.reason[:9] for each in found.faults]) == (
        [TOY_0],
        ["not JSON:"],
    )
    write_rows(path, [{"task_id": TOY_0, "result": "passed"}])
    with pytest.raises(MissingInputsError, match="result is 'passed', expected what a server answered"):
        read_samples(path, TOY)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        # At one time: the bytes are a part of the test's name, which every worker must know alike.
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip twice"),
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b"BZh91AY", "bzip2 that is cut or damaged"),
        (b"\xfd7zXZ\x00cut", "xz that is cut or damaged"),
        (bytes(257) + b"ustar\0", "a tar archive"),
        (b"task_id,completion\nToy/0,return 1\n", "a table of CSV or TSV, where JSON is expected"),
        (b"completion\ttask_id\nreturn 1\tToy/0\n", "a table of CSV or TSV, where JSON is expected"),
        (b"- task_id: Toy/0\n  completion: x\n", "YAML, where JSON is expected"),
        (b"{'task_id': 'Toy/0', 'completion': 'x'}\n", "values as Python shows them"),
        (b"\x80\x02]q\x00", "a pickle"),
    ],
)
def test_what_holds_no_json_has_a_name(data: bytes, name: str, tmp_path: Path) -> None:
    """And not the error of a parser that was not made for it."""
    (tmp_path / "s.jsonl").write_bytes(data)
    with pytest.raises(MissingInputsError, match=name):
        read_samples(tmp_path / "s.jsonl", TOY)


@pytest.mark.parametrize(
    "text",
    [
        "\r".join(ROWS),
        "".join(ROWS),
        ",\n".join(ROWS) + ",\n",
        "[" + ",\n".join(ROWS) + ",\n]",
        "[\n  " + ",\n  ".join(ROWS),
        "\x1e" + "\n\x1e".join(ROWS),
        "\n".join(map(json.dumps, ROWS)),
        "\n".join(row.replace("{", '{"logprob": NaN, "inf": -Infinity, ') for row in ROWS),
    ],
)
def test_lines_that_are_nearly_json_lose_no_value(text: str, tmp_path: Path) -> None:
    """Ends of lines, commas, marks between records, an array that was cut: three right answers each, and no fault."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(text.encode())
    found = read_samples(path, TOY)
    assert ([passes(each) for each in found.samples], found.faults) == ([True] * 3, ())


def test_no_row_is_lost_without_a_word(tmp_path: Path) -> None:
    """What a server failed to answer, empty lists, and a line that is cut amid values of several lines."""
    path, error = tmp_path / "s.jsonl", {"custom_id": TOY_0, "response": None, "error": {"code": "busy"}}
    write_rows(path, [error, {"task_id": TOY_0, "completion": CANONICAL}, {"task_id": TOY_0, "responses": []}])
    reasons = [each.reason for each in read_samples(path, TOY).faults]
    assert reasons == ["no answer, but an error: {'code': 'busy'}", "the row holds no text"]
    write_rows(path, [{"task_id": number, "completion": CANONICAL} for number in (1, 2, 3)])
    assert [each.reason for each in read_samples(path, TOY).faults] == ["unknown task '3'; do the ids count from 1?"]
    write_rows(path, [{"task_id": TOY_0, "choices": [{"text": CANONICAL}] * 2}])
    assert [each.index for each in read_samples(path, TOY).samples] == [0, 1]
    path.write_text(f"{ROWS[0]} and more\n{ROWS[1]}\n", encoding="utf-8")
    found = read_samples(path, TOY)
    assert ([each.task_id for each in found.samples], [each.line for each in found.faults]) == (["Toy/0", "Toy/1"], [1])
