"""What a chat answers becomes a program."""

from __future__ import annotations

from typing import Any

import pytest

from refute.engines.humaneval.problems.chat_answer import completion
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble


@pytest.mark.parametrize(
    "answer",
    [
        "```python\ndef f(n):\n    return n\n```",
        "Here:\n\n```\nimport os\ndef f(n):\n    return n\n```\n```python\nprint(f(1))\n```",
        "```python\ndef f(n):\n    return n",
        "def f(n):\n    return n",
        "    return n\n",
        "```python\n    return n\n```",
    ],
)
@pytest.mark.parametrize("prompt", ['def f(n):\n  """One space less."""\n', "def f(n):\n"])
def test_a_whole_answer_becomes_a_program(prompt: str, answer: str) -> None:
    """In a block that is closed or not, the first of several, or none; a body alone; with a docstring or without."""
    if answer.startswith(("    return", "```python\n    return")) and '"""' in prompt:
        prompt = prompt.replace("  ", "    ")
    problem = Problem("T/0", prompt, "f", "", "")
    space: dict[str, Any] = {}
    exec(assemble(problem, completion(problem, answer)), space)  # noqa: S102 - the test's own text
    assert space["f"](3) == 3
