"""Problem files are read strictly."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from refute.engines.humaneval.problems.problems import load_problems, prompt_module
from refute.errors import MissingInputsError, UsageError

ROW = {
    "task_id": "t/0",
    "prompt": 'def f(x):\n    """Doc."""\n',
    "entry_point": "f",
    "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}


def write(path: Path, *rows: object) -> Path:
    """A JSONL file of `rows`; text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_plain_and_compressed_files_read_alike(tmp_path: Path) -> None:
    """A .jsonl.gz holds the same problems as the .jsonl it was made from, in file order."""
    plain = write(tmp_path / "p.jsonl", ROW | {"task_id": "t/9"}, ROW)
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load_problems(plain) == load_problems(packed)
    assert [problem.task_id for problem in load_problems(packed)] == ["t/9", "t/0"]


def test_limit_takes_the_first_problems(tmp_path: Path) -> None:
    """`limit` cuts the list from its end, and a limit beyond it changes nothing."""
    path = write(tmp_path / "p.jsonl", ROW, ROW | {"task_id": "t/1"})
    assert [problem.task_id for problem in load_problems(path, limit=1)] == ["t/0"]
    assert len(load_problems(path, limit=5)) == 2
    with pytest.raises(UsageError, match="limit is 0"):
        load_problems(path, limit=0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "holds no problem"),
        ((ROW, "{broken"), r"p\.jsonl:2: not JSON"),
        ((ROW, "", ["a list"]), r"p\.jsonl:3: expected a JSON object, found list"),
        ((ROW, ROW), r"p\.jsonl:2: task id 't/0' occurs twice"),
        (({**ROW, "entry_point": "g"},), r"p\.jsonl:1: the prompt defines no function 'g'"),
        (({**ROW, "prompt": "def f(x:\n"},), r"p\.jsonl:1: the prompt is not Python"),
        (({**ROW, "test": "assert True\n"},), r"p\.jsonl:1: the test defines no function 'check'"),
        (({**ROW, "test": 3},), r"p\.jsonl:1: field 'test' is missing or not text"),
        (({k: v for k, v in ROW.items() if k != "prompt"},), r"p\.jsonl:1: field 'prompt' is missing"),
        (({**ROW, "task_id": ""},), r"p\.jsonl:1: the task id is empty"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, rows: tuple[object, ...], message: str) -> None:
    """Every fault is an error that says where and what it is, never a skipped line."""
    with pytest.raises(MissingInputsError, match=message):
        load_problems(write(tmp_path / "p.jsonl", *rows))


def test_an_error_beyond_the_limit_still_counts(tmp_path: Path) -> None:
    """A damaged file is damaged even where the wrong line would not be used."""
    with pytest.raises(MissingInputsError, match=r"p\.jsonl:2: not JSON"):
        load_problems(write(tmp_path / "p.jsonl", ROW, "{"), limit=1)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xff",
        gzip.compress(b"x" * 1000, mtime=0)[:-9],
        gzip.compress(b"x" * 1000, mtime=0)[:10] + b"\xff" * 20,
        gzip.compress(b"\xff\xff", mtime=0),
    ],
)
def test_unreadable_files_are_missing_inputs(tmp_path: Path, content: bytes) -> None:
    """An absent, truncated or non-UTF-8 file, packed or not, is a MissingInputsError."""
    path = tmp_path / "p.jsonl.gz"
    with pytest.raises(MissingInputsError, match="cannot be read"):
        load_problems(path)
    path.write_bytes(content)
    with pytest.raises(MissingInputsError, match="cannot be read"):
        load_problems(path)


def test_a_prompt_without_docstring_gets_a_body() -> None:
    """A head that ends in a comment still compiles, and a complete prompt is left as it is."""
    compile(prompt_module("def f(x):\n    # the sum\n"), "prompt", "exec")
    assert prompt_module(ROW["prompt"]) == ROW["prompt"]
