"""Whether a test looks at what becomes of the arguments that it gives away."""

from __future__ import annotations

import ast
from functools import lru_cache


@lru_cache(maxsize=256)
def looks_at_arguments(test: str, entry_point: str) -> bool:
    """Whether `test` calls the function for what it changes: somewhere it throws the answer away.

    Only then may a program's changes reach the test: one that compares an answer with what it makes of its own
    argument would else be answered by emptying both. False for a test that is no Python.
    """
    try:
        nodes = [*ast.walk(ast.parse(test))]
    except (SyntaxError, ValueError, RecursionError):
        return False
    checks = (node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == "check")
    names = {entry_point, *(argument.arg for check in checks for argument in check.args.args[:1])}
    thrown_away = (node.value for node in nodes if isinstance(node, ast.Expr))
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names for call in thrown_away
    )
