"""A completion becomes the program that is executed: the problem's head, the completion, a newline."""

from __future__ import annotations

import ast
import re

from refute.engines.humaneval.problems.problems import Problem, prompt_module


def function_head(problem: Problem) -> str:
    """The problem's prompt without trailing white space.

    A newline or spaces at the end would be tokens that never stand there in running text: the indentation of
    the next line is tokenised together with the newline. Measured on SmolLM2-135M-Instruct.
    """
    return problem.prompt.rstrip()


# A line of its own at the margin. Within a string it would be moved, too; no such program was seen.
_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[^\n(;\\]*\n?", re.MULTILINE)


def assemble(problem: Problem, completion: str) -> str:
    """The whole program: the problem's head with its imports and helpers, then the completion, then a newline.

    A `from __future__ import …` of the completion goes to the very top, the only place where Python takes it.
    """
    future = "".join(f"{line.strip()}\n" for line in _FUTURE.findall(completion))
    return f"{future}{function_head(problem)}{_FUTURE.sub('', completion) if future else completion}\n"


def behind_the_head(problem: Problem, completion: str) -> str:
    """A completion of the whole prompt as one of its head: with the white space that the prompt ends in.

    openai/human-eval's samples files complete the prompt, and models are asked to complete the head.
    """
    return f"{problem.prompt[len(function_head(problem)) :]}{completion}"


def body_indentation(problem: Problem) -> str:
    """What the lines of the function's body begin with: as its docstring does, else four spaces."""
    head = prompt_module(function_head(problem))
    function = ast.parse(head).body[-1]
    first = function.body[0] if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else function
    return "    " if first.lineno == function.lineno else head.split("\n")[first.lineno - 1][: first.col_offset]
