"""A function's body without its head, and where in an answer one stands: what returns belongs into a function."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from keyword import iskeyword

from refute.engines.humaneval.answers.blocks import at_the_margin
from refute.engines.humaneval.answers.parsing import python_from, statements

_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def body_at_the_margin(code: str) -> str | None:
    """`code` at the margin, where it is a body for certain: Python only within a function, since it returns or yields.

    None for all else, a body with a text over several lines among it: to move that would change it.
    """
    for moved in (at_the_margin(code), _behind_its_imports(code)):
        nodes = statements(moved)
        if _returns(nodes) and not _has_long_text(nodes):
            return moved
    return None


def _behind_its_imports(code: str) -> str:
    """`code` with its body moved below the imports that stand at the margin before it."""
    lines = code.strip("\n").split("\n")
    body = next((place for place, line in enumerate(lines) if line[:1].isspace() and line.strip()), 0)
    imports = "\n".join(lines[:body])
    only = all(isinstance(node, ast.Import | ast.ImportFrom) for node in statements(imports))
    return f"{imports}\n{at_the_margin(chr(10).join(lines[body:]))}" if only and statements(imports) else ""


def body_that_begins(text: str) -> str | None:
    """The body that the first lines of `text` are, at the margin; None where they are none.

    A text that was stripped has lost the indentation of its first line, and of no other.
    """
    lines = text.strip("\n").split("\n")
    # A heading, such as `Solution`.
    if lines[0].strip().isidentifier() and not iskeyword(lines[0].strip()):
        return None
    behind = next((place for place, line in enumerate(lines) if place and line[:1].strip()), len(lines))
    depths = [len(line) - len(line.lstrip()) for line in lines[1:behind] if line.strip()]
    stripped = [" " * min(depths, default=0) + lines[0].lstrip(), *lines[1:behind]]
    # And what stands below `Answer:`, its lines in a row.
    below = "\n".join(lines[1:behind]) if lines[0].rstrip().endswith(":") else ""
    candidates = ("\n".join(lines[:behind]), python_from(lines), "\n".join(stripped), below)
    return next((found for each in candidates if (found := body_at_the_margin(each)) is not None), None)


def _returns(nodes: Sequence[ast.AST]) -> bool:
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom):
            return True
        waiting += [] if isinstance(node, _NESTED) else ast.iter_child_nodes(node)
    return False


def _has_long_text(nodes: Sequence[ast.AST]) -> bool:
    found = [each for node in nodes for each in ast.walk(node)]
    comments = {id(node.value) for node in found if isinstance(node, ast.Expr)}
    texts = [node for node in found if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in comments]
    return any(text.lineno != text.end_lineno for text in texts)
