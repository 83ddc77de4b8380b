"""What code binds and what it names without binding it: which other code it needs."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from refute.engines.humaneval.answers.parsing import statements


def needed_by(user: str, node: ast.stmt) -> bool:
    """Whether an import, a definition or a constant binds what `user` names and does not bind itself.

    One that names what `user` defines is a use of it.
    """
    using = statements(user)
    bound, free = {*_bound(node)}, free_names(using)
    if bound:
        return "*" in bound or bool(bound & free)
    defined = {name for each in using for name in _defined(each)}
    return bool(free & {*_defined(node)}) and not defined & set(re.findall(r"\w+", ast.unparse(node)))


def free_names(code: Sequence[ast.stmt]) -> set[str]:
    """The names that code reads and never binds, and that are not Python's own."""
    nodes = [node for statement in code for node in ast.walk(statement)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {name for node in nodes if isinstance(node, ast.stmt) for name in (*_defined(node), *_bound(node))}
    return read - bound - {*dir(builtins)}


def without_words(code: str) -> str:
    """`code` without lines at its margin that are names of nothing, such as `Explanation`: Python by accident."""
    nodes = statements(code)
    unknown = free_names(nodes)
    words = [node for node in nodes if _is_idle(node) and unknown & free_names([node])]
    left_out = {line for node in words for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return "\n".join(line for number, line in enumerate(code.split("\n"), start=1) if number not in left_out)


def _is_idle(node: ast.stmt) -> bool:
    """Whether it would do nothing if all its names were known: an expression, or `Complexity: linear`."""
    calls = any(isinstance(each, ast.Call | ast.Await | ast.NamedExpr) for each in ast.walk(node))
    return (isinstance(node, ast.Expr) and not calls) or (isinstance(node, ast.AnnAssign) and node.value is None)


def _defined(node: ast.stmt) -> tuple[str, ...]:
    """The names of a definition, or of a constant that is assigned."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    if isinstance(node, ast.Assign):
        return tuple(target.id for target in node.targets if isinstance(target, ast.Name))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return (node.target.id,)
    return ()


def _bound(node: ast.stmt) -> Iterator[str]:
    for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        yield "*" if future else (alias.asname or alias.name).partition(".")[0]
