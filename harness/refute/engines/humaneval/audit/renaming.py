"""A reference solution as somebody else might have written it: the same program with other names for its variables."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from refute.engines.humaneval.audit.problem_file import Task

# As usual as the names that they stand for: rare ones would surprise any model.
_NAMES = (
    *("value", "other", "item", "entry", "part", "piece", "count", "place", "mark", "total", "first", "second"),
    *("third", "left", "right", "kind", "level", "record", "element", "member", "group", "chunk", "track", "state"),
)


def renamed(task: Task) -> Task | None:
    """`task` with each variable of its solution under another name, its function and its docstring as they are.

    None where it has none, or is no Python.
    """
    program = task.head + task.solution
    try:
        others = _others(program)
        places = [place for place in _names(program) if place[1] in others]
    except (SyntaxError, tokenize.TokenError):
        return None
    if not places:
        return None
    head, solution = task.head, task.solution
    for offset, name in reversed(places):
        if offset < len(task.head):
            head = head[:offset] + others[name] + head[offset + len(name) :]
        else:
            offset -= len(task.head)
            solution = solution[:offset] + others[name] + solution[offset + len(name) :]
    return replace(task, head=head, solution=solution)


def _others(program: str) -> dict[str, str]:
    """New names for arguments and for what is assigned, in the order of their first appearance."""
    bound = (_bound(node) for node in ast.walk(ast.parse(program)))
    free = (name for name in _NAMES if name not in program)
    return dict(zip(dict.fromkeys(name for name in bound if name), free, strict=False))


def _bound(node: ast.AST) -> str | None:
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def _names(program: str) -> Iterator[tuple[int, str]]:
    """Every name of the program that is no attribute, with its offset in characters."""
    starts = [0, *accumulate(len(line) for line in program.splitlines(keepends=True))]
    last = ""
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        if token.type == tokenize.NAME and last != ".":
            yield starts[token.start[0] - 1] + token.start[1], token.string
        last = token.string
