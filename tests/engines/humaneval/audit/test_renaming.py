"""A renamed solution is the same program, and nothing else of its task changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.engines.humaneval.audit.problem_file import Task, read_tasks
from refute.engines.humaneval.audit.renaming import renamed

OWN = read_tasks(Path(__file__).parents[3] / "assets" / "own_problems.jsonl")


def task(head: str, solution: str) -> Task:
    """One with the function f."""
    return Task("one", head, "f", solution, "")


@pytest.mark.parametrize("each", OWN.values(), ids=OWN)
def test_the_same_program_passes_the_same_check(each: Task) -> None:
    other = renamed(each)
    assert other is not None
    assert (other.head, other.solution) != (each.head, each.solution)
    names: dict[str, object] = {}
    exec(f"{other.program(other.solution)}\n{other.test}\ncheck({other.entry_point})", names)  # noqa: S102  # our own


def test_names_of_others_stay() -> None:
    """Attributes, keywords, the function's own name, docstring and comments."""
    found = renamed(
        task('def f(text, sep):\n    """Cut text."""\n', "    # text\n    parts = text.split(sep)\n    return parts\n")
    )
    assert found is not None
    assert found.head == 'def f(value, other):\n    """Cut text."""\n'
    assert found.solution == "    # text\n    item = value.split(other)\n    return item\n"


def test_a_new_name_is_one_that_nobody_has() -> None:
    found = renamed(task("def f(x):\n", "    value = x\n    return value\n"))
    assert found is not None
    assert found.head + found.solution == "def f(other):\n    item = other\n    return item\n"


@pytest.mark.parametrize(("head", "solution"), [("def f():\n", "    return 1\n"), ("def f(x):\n", "    return (x\n")])
def test_what_has_no_variable_or_is_no_python_has_no_twin(head: str, solution: str) -> None:
    assert renamed(task(head, solution)) is None
