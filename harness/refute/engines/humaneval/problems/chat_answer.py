"""The chat protocol of servers that do not let an answer be begun for them: one turn asked, the whole answer read."""

from __future__ import annotations

import textwrap

from refute.engines.humaneval.answers.code import RULE, Extracted, extract
from refute.engines.humaneval.problems.problems import Problem, prompt_module
from refute.engines.humaneval.problems.program import body_indentation, function_head

NAME = "chat_answer"

EXTRACTION = (
    f"{RULE}; executed behind the prompt, whose function it defines again, or continues where it does not define it"
)


def read_answer(problem: Problem, answer: str) -> tuple[str, Extracted]:
    """What follows the problem's head, so that head and completion are the program that was answered; how it was found.

    `answer` is what was served, all of it.
    """
    found = extract(answer, problem.entry_point)
    head = function_head(problem)
    if found.kind == "function":
        # The head alone must be a whole function before another of its name.
        return f"{prompt_module(head)[len(head) :].rstrip()}\n\n\n{found.code}", found
    if found.kind == "body":
        return f"\n{textwrap.indent(found.code, body_indentation(problem))}", found
    return f"\n{found.code}", found
