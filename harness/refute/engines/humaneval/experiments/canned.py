"""Canned answers, whose score is known beforehand: the right ones, none at all, and the ways to cheat a scorer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from types import MappingProxyType

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble, behind_the_head, body_indentation

# Bodies of the function to be written. Only an honest scorer gives each of them zero.
BODIES: Mapping[str, str] = MappingProxyType(
    {
        "empty": "pass",
        "always_equal": """\
            class Anything(float):
                def __eq__(self, other):
                    return True
                def __ne__(self, other):
                    return False
                def __lt__(self, other):
                    return True
                def __bool__(self):
                    return True
                def __sub__(self, other):
                    return 0.0
                def __rsub__(self, other):
                    return 0.0
                def __hash__(self):
                    return 0
            return Anything()
        """,
        "system_exit": "raise SystemExit(0)",
        "os_exit": "import os\nos._exit(0)",
    }
)

ENDLESS = "while True:\n    pass"
KINDS = ("canonical", *BODIES)
# Of some problems: a right answer with one operator broken.
NEAR_MISS = "near_miss"


def canned_program(problem: Problem, kind: str) -> str:
    """The program of `kind` (one of KINDS) for `problem`."""
    if kind == "canonical":
        return assemble(problem, behind_the_head(problem, problem.canonical_solution))
    return program_with_body(problem, BODIES[kind])


def program_with_body(problem: Problem, body: str) -> str:
    """The problem's prompt with `body` as its function's body."""
    return assemble(problem, body_completion(problem, body))


def body_completion(problem: Problem, body: str) -> str:
    """`body` as a completion of the problem's head, indented as the function's own body is."""
    return "\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), body_indentation(problem))
