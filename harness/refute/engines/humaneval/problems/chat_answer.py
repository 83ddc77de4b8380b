"""The chat protocol of servers that do not let an answer be begun for them: one turn asked, the whole answer read."""

from __future__ import annotations

import re

from refute.engines.humaneval.problems.problems import Problem, prompt_module
from refute.engines.humaneval.problems.program import function_head
from refute.engines.humaneval.problems.prompts import PROTOCOLS

NAME = "chat_answer"


EXTRACTION = (
    "the first fenced block of Python in the answer, or the whole answer where it has none; executed behind the "
    "prompt, whose function it defines again, or continues where it does not define it"
)


_BLOCK = re.compile(
    r"^[ \t]*```(?:python|py|python3)?[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE | re.MULTILINE
)


def user_turn(problem: Problem) -> str:
    """What the user says: the words of `chat_primed`."""
    return PROTOCOLS["chat_primed"].user_turn.replace("{head}", function_head(problem))


def completion(problem: Problem, answer: str) -> str:
    """What follows the problem's head, so that head and completion are the program that was answered."""
    found = _BLOCK.search(answer)
    code = found.group(1) if found else answer
    if not re.search(rf"^def {re.escape(problem.entry_point)}\b", code, re.MULTILINE):
        return f"\n{code}"
    # The head alone must be a whole function before another of its name.
    head = function_head(problem)
    return f"{prompt_module(head)[len(head) :].rstrip()}\n\n\n{code}"
