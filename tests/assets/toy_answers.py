"""Parts of a chat's answers to one toy problem, and whether an answer solves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from refute.engines.humaneval.problems.chat_answer import read_answer
from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.engines.humaneval.problems.program import assemble, behind_the_head
from refute.engines.humaneval.readers.sample_file import Sample

CASES = Path(__file__).parent / "eval_cases"
ALL = load_problems(CASES / "toy_problems.jsonl")
TOY = ALL[0]
CODE = f"{TOY.prompt}{TOY.canonical_solution}".split("\n\n\n")[1].rstrip()
WRONG = "def add_all(numbers):\n    return 0"
BARE = "def add_all(numbers):\n    return sum(numbers)"
ECHO = f"Complete the following Python function.\n```python\n{TOY.prompt.rstrip()}\n```"
FENCED = f"```python\n{CODE}\n```"
OTHER = f"```python\n{WRONG}\n```"


def solves(problem: Problem, answer: str) -> bool:
    """Whether the problem's test passes on the program that was answered."""
    return _runs(problem, assemble(problem, read_answer(problem, answer)[0]))


def passes(sample: Sample) -> bool:
    """Whether the problem's test passes on what is executed for the sample."""
    problem = next(each for each in ALL if each.task_id == sample.task_id)
    whole = sample.completion if sample.whole else assemble(problem, behind_the_head(problem, sample.completion))
    return _runs(problem, whole)


def _runs(problem: Problem, program: str) -> bool:
    space: dict[str, Any] = {}
    for code in (program, problem.test):
        # Not under this module's own `from __future__`.
        exec(compile(code, "<program>", "exec", dont_inherit=True), space)  # noqa: S102 - the test's own text
    try:
        space["check"](space[problem.entry_point])
    except AssertionError:
        return False
    return True
