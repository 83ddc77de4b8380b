"""The second executor: what passes is confirmed, whatever else ends is not, and a program cannot say that it passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.engines.humaneval.audit.execution import Limits, executor, passes
from refute.engines.humaneval.audit.near_miss import near_misses
from refute.engines.humaneval.audit.problem_file import Task, read_tasks
from refute.engines.humaneval.sandbox.tiers import Isolation, probe_isolation

LIMITS = Limits(1.0, 512 * 1024**2)


@pytest.fixture
def task(problem_file: Path) -> Task:
    """`double(n)`."""
    return next(iter(read_tasks(problem_file).values()))


def test_the_reference_solution_passes(task: Task) -> None:
    """Right is right by both executors."""
    assert passes(task, task.solution, LIMITS)


@pytest.mark.parametrize(
    "completion",
    [
        "\n    return n * 3",
        "\n    return",
        "\n    return (",
        "\n    raise SystemExit(0)",
        "\n    import os\n    os._exit(0)",
        "\n    import sys\n    print('0' * 32)\n    sys.exit(0)",
        "\n    import sys\n    sys.__stdout__.write('0' * 32)\n    return n * 2",
        "\n    while True:\n        pass",
        "\n    return 'x' * 10 ** 10",
    ],
)
def test_everything_else_does_not(task: Task, completion: str) -> None:
    """Wrong, early, endless, too large, or with words of its own."""
    assert not passes(task, completion, LIMITS)


def test_helpers_of_the_prompt_are_there_for_the_check() -> None:
    """Some checks of the benchmark call them."""
    head = "def half(n):\n    return n // 2\n\n\ndef double(n):\n    '''Twice.'''"
    test = "def check(candidate):\n    assert half(candidate(3)) == 3\n"
    assert passes(Task("T/0", head, "double", "", test), "\n    return 2 * n", LIMITS)


def test_programs_see_no_home_and_no_network(task: Task) -> None:
    """In bubblewrap; a release that demands less may do without."""
    assert executor("rlimits") is not None
    if probe_isolation() is Isolation.BUBBLEWRAP:
        assert executor("bubblewrap") == "bubblewrap"
        assert not passes(task, f"\n    open({str(Path(__file__))!r})\n    return n * 2", LIMITS)


def test_near_misses_are_right_answers_with_one_operator_broken(task: Task) -> None:
    """And they fail."""
    found = list(near_misses(task))
    assert [text.strip() for text in found] == ["return n + 2"]
    assert not passes(task, found[0], LIMITS)
