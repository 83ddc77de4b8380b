"""What is said of an exception: the author's own line, the same on every machine, and where the rest is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import LoadingError
from refute.falsifier.loading import load_registry
from refute.falsifier.trial import FaultKind, Trial, try_falsifier

FALSIFIER = '''from refute import Measurement, falsifier, known_bad, known_good
from _scores import right


def good(bench):
    bench.put("answers", "a.jsonl", [{"answer": 1}])


def bad(bench):
    bench.put("answers", "a.jsonl", [{"answer": 0}])


def unbuildable(bench):
    bench.put("answers")


@falsifier(
    "own",
    needs=("answers",),
    measures={"value": "points"},
    controls=(known_good(good), known_bad(bad), known_bad(unbuildable)),
)
def measure(context):
    """Refuted when an answer is wrong."""
    rows = context.evidence("answers").FIELD
    return [Measurement("value", sum(map(right, rows)), "points", n=1)]
'''
HELPER = "def right(row):\n    return row['KEY'] == 1\n"


def attempt(folder: Path, log: Path, *, reader: str = "rows('a.jsonl')", key: str = "answer") -> Trial:
    """A trial of the falsifier without evidence of its own."""
    folder.mkdir()
    (folder / "own.py").write_text(FALSIFIER.replace("FIELD", reader), encoding="utf-8")
    (folder / "_scores.py").write_text(HELPER.replace("KEY", key), encoding="utf-8")
    return try_falsifier(load_registry([folder])["own"], {}, {}, bars={}, timeout_s=30, log=log)


@pytest.mark.parametrize(
    ("reader", "key", "told"),
    [
        ("rows('a.jsonl')", "anwser", "falsifiers/_scores.py:2: KeyError: 'anwser'"),
        ("row('a.jsonl')", "answer", "falsifiers/own.py:25: AttributeError: 'Evidence' object has no attribute 'row'"),
        ("rows('b.jsonl')", "answer", "falsifiers/own.py:25: evidence 'answers' holds no file 'b.jsonl'"),
        ("arrays('a.jsonl')", "answer", "falsifiers/own.py:25: SafetensorError"),
    ],
)
def test_an_exception_names_the_authors_innermost_line(tmp_path: Path, reader: str, key: str, told: str) -> None:
    """Wherever below it was raised, in a helper or in a library; and the log has the whole traceback."""
    trial = attempt(tmp_path / "falsifiers", tmp_path / "falsifiers.log", reader=reader, key=key)
    assert told in trial.controls["good"].fault
    assert str(tmp_path) not in trial.controls["good"].fault
    assert "Traceback (most recent call last)" in (tmp_path / "falsifiers.log").read_text(encoding="utf-8")


def test_a_control_that_cannot_be_laid_out_names_its_line(tmp_path: Path) -> None:
    """An error of its own, and the others are tried."""
    trial = attempt(tmp_path / "falsifiers", tmp_path / "falsifiers.log")
    found = trial.controls["unbuildable"]
    assert found.fault.startswith("could not be laid out: falsifiers/own.py:14: TypeError: Bench.put() missing")
    assert (found.kind, trial.controls["good"].kind) == (FaultKind.FAILED, None)


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("import Measurement", "import Measurment", 1, "cannot import name 'Measurment'"),
        ("known_bad(bad)", "known_bad(bda)", 21, "name 'bda' is not defined"),
        ('needs=("answers",)', "needs=()", 17, "no evidence proves nothing"),
        ("known_good(good)", 'known_good("good")', 21, "built by a function of a Bench"),
        ("def good(bench):", "def good(bench:", 5, "SyntaxError"),
    ],
)
def test_a_faulty_declaration_names_its_line(tmp_path: Path, old: str, new: str, line: int, cause: str) -> None:
    """Whoever notices it: Python, a control, or the decorator."""
    (tmp_path / "_scores.py").write_text(HELPER, encoding="utf-8")
    (tmp_path / "own.py").write_text(FALSIFIER.replace(old, new), encoding="utf-8")
    with pytest.raises(LoadingError) as caught:
        load_registry([tmp_path])
    assert f"line {line} of {tmp_path / 'own.py'}" in str(caught.value)
    assert cause in str(caught.value)
