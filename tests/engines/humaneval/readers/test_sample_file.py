"""Samples of openai/human-eval are read; a wrong line is named and costs nothing but itself."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.readers.sample_file import Sample, read_samples, uneven_tasks
from refute.errors import MissingInputsError

TASKS = ("t/0", "t/1", "t/2")
PROBLEMS = [Problem(task, "def f(n):\n", "f", "", "") for task in TASKS]


def write(path: Path, *rows: object) -> Path:
    """A JSONL file of `rows`; bytes are written as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines))
    return path


def row(task: object = "t/0", completion: object = " x", **more: object) -> dict[str, object]:
    """A sample's row."""
    return {"task_id": task, "completion": completion, **more}


def test_samples_are_counted_a_task_and_other_keys_left_alone(tmp_path: Path) -> None:
    """Foreign files have no `sample`: rows of a task are numbered as they come, also in a compressed file."""
    plain = write(tmp_path / "s.jsonl", row(), row("t/1", "a\u2028b"), b"", row(completion=" y", model="m"))
    packed = tmp_path / "s.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    found = read_samples(plain, PROBLEMS)
    assert found.samples == read_samples(packed, PROBLEMS).samples
    assert found.samples == (Sample("t/0", 0, " x", 1), Sample("t/1", 0, "a\u2028b", 2), Sample("t/0", 1, " y", 4))
    assert (found.faults, found.sha256) == ((), hashlib.sha256(plain.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"task_id": "t/0", "compl', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (["t/0"], "expected a JSON object, found list"),
        ({"completion": "x"}, "key 'task_id' is missing, or neither"),
        (row(completion=None), "key 'completion' is missing or not text"),
        (row("t/9"), "unknown task 't/9'"),
        (row(sample=-1), "key 'sample' is '-1'"),
        (row(sample=True), "key 'sample' is 'True'"),
        (row(sample=0), "sample 0 of t/0 stands in line 1 already"),
    ],
)
def test_a_wrong_line_is_named_and_the_rest_is_kept(tmp_path: Path, line: object, reason: str) -> None:
    """The samples before and behind it are read."""
    found = read_samples(write(tmp_path / "s.jsonl", row(sample=0), line, row("t/1")), PROBLEMS)
    assert [sample.line for sample in found.samples] == [1, 3]
    assert [(fault.line, reason in fault.reason) for fault in found.faults] == [(2, True)], found.faults


def test_a_file_without_any_sample_is_an_error(tmp_path: Path) -> None:
    """Absent, empty, of another problem set, or not what its name says: nothing to score is never a score."""
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(row()).encode())[:-9])
    corrupt = tmp_path / "corrupt.jsonl.gz"
    corrupt.write_bytes(cut.read_bytes()[:10] + b"\xff" * 20)
    for path in (tmp_path / "absent.jsonl", cut, corrupt):
        with pytest.raises(MissingInputsError, match="cannot be read"):
            read_samples(path, PROBLEMS)
    for rows in ((), (row("mbpp/1"),)):
        with pytest.raises(MissingInputsError, match=r"holds no sample of any of the 3 problems"):
            read_samples(write(tmp_path / "s.jsonl", *rows), PROBLEMS)


def test_missing_and_surplus_samples_are_told_from_the_usual_number(tmp_path: Path) -> None:
    """A task without a sample, and one with two where the others have one, by their lines."""
    four = [*PROBLEMS, Problem("t/3", "", "f", "", "")]
    found = read_samples(write(tmp_path / "s.jsonl", row(), row("t/1"), row("t/1"), row("t/3")), four)
    assert uneven_tasks(found.samples, (*TASKS, "t/3")) == {"t/1": (2, 3), "t/2": ()}
    even = read_samples(write(tmp_path / "e.jsonl", *(row(task) for task in TASKS * 3)), PROBLEMS)
    assert uneven_tasks(even.samples, TASKS) == {}
