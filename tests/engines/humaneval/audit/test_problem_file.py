"""The second reader of problem files sees the problems that the first one does, whichever benchmark they are of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from problem_rows_of_all import PROBLEM_ROWS
from refute.engines.distill.data.decontamination import Benchmark
from refute.engines.humaneval.audit.execution import Limits, passes
from refute.engines.humaneval.audit.near_miss import near_misses
from refute.engines.humaneval.audit.problem_file import read_tasks
from refute.engines.humaneval.experiments.canned import KINDS, canned_program
from refute.engines.humaneval.problems.problems import load_problems
from refute.errors import MissingInputsError


@pytest.mark.parametrize("kind", PROBLEM_ROWS)
@pytest.mark.parametrize("array", [False, True])
def test_both_readers_see_the_same(tmp_path: Path, kind: str, array: bool) -> None:
    """Heads to the letter, for they are what a model is asked; right and wrong programs; and their words in a text."""
    path, row = tmp_path / "p.json.gz", PROBLEM_ROWS[kind]
    path.write_bytes(gzip.compress(json.dumps([row] if array else row).encode("utf-8")))
    (problem,) = load_problems(path)
    (task,) = read_tasks(path).values()
    assert (task.task_id, task.head, task.entry_point) == (problem.task_id, problem.prompt.rstrip(), "double")
    assert (task.test, task.program(task.solution).split()) == (
        problem.test,
        canned_program(problem, "canonical").split(),
    )
    assert Benchmark.read(path, 10).count_rejected() == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROBLEM_ROWS)
def test_what_passes_is_executed_again(tmp_path: Path, kind: str) -> None:
    """The canonical solution passes, and neither a near miss of it nor a forged answer does."""
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(PROBLEM_ROWS[kind]), encoding="utf-8")
    (task,) = read_tasks(path).values()
    limits = Limits(timeout_s=20.0, memory_bytes=512 * 1024**2)
    assert passes(task, task.solution, limits)
    assert not passes(task, next(near_misses(task)), limits)
    (problem,) = load_problems(path)
    for program in (canned_program(problem, each) for each in KINDS):
        compile(program, "program", "exec")


def test_what_is_no_problem_file_is_named(tmp_path: Path) -> None:
    """By what was found in it."""
    path = tmp_path / "p.jsonl"
    for content, found in ((b"[1]", "no JSON object"), (b"\x1f\x8bx", "cut or damaged"), (b"{}", "row 1 has no text")):
        path.write_bytes(content)
        with pytest.raises(MissingInputsError, match=found):
            read_tasks(path)
