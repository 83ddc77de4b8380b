"""MBPP's rows as HumanEval's: a function to complete, the task and its assertions in its docstring."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def mbpp_row(row: Mapping[str, Any]) -> Mapping[str, str]:
    """MBPP's task as a function to complete: head and parameters from its solution, the task and its tests below it.

    A test of MBPP+ (`test`) stands in place of the assertions. Raises ValueError.
    """
    solution, tests = text_of(row, "code"), row["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise ValueError("test_list is no list of assertions")
    if type(row.get("task_id")) not in (int, str):
        raise ValueError(f"task_id is {row.get('task_id')!r}, expected a number or text")
    asserted = parsed("\n".join(tests), "test_list")
    function = _tested(parsed(solution, "code"), asserted)
    told = [text_of(row, "text" if "text" in row else "prompt").strip(), "", *tests]
    return {
        "task_id": f"MBPP/{row.get('task_id')}",
        "prompt": head_to_complete(function, "\n".join(told)),
        "entry_point": function.name,
        "canonical_solution": f"\n\n{solution}\n",
        "test": _check(row, asserted),
    }


def head_to_complete(function: ast.FunctionDef, told: str) -> str:
    """The head of `function`, with what it is to do as its docstring."""
    return f"def {function.name}({_parameters(function)}):\n{_docstring(told)}\n"


def _check(row: Mapping[str, Any], asserted: ast.Module) -> str:
    imports = row.get("test_imports") or []
    lines = [*imports, row.get("test_setup_code") or ""]
    if not isinstance(imports, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("test_imports and test_setup_code are not text")
    setup = "\n".join(lines).replace("\r\n", "\n")
    body = parsed(row["test"], "test").body if isinstance(row.get("test"), str) else asserted.body
    check = parsed("def check(candidate):\n    pass", "check")
    function = next(node for node in check.body if isinstance(node, ast.FunctionDef))
    function.body = body
    return f"{setup}\n\n\n{ast.unparse(check)}\n"


def _tested(solution: ast.Module, asserted: ast.Module) -> ast.FunctionDef:
    """The function of the solution that the assertions call first."""
    defined = {node.name: node for node in solution.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(asserted):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
            return defined[node.func.id]
    raise ValueError("test_list calls no function that the code defines")


def _parameters(function: ast.FunctionDef) -> str:
    """Without types, whose names the prompt does not import."""
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(function.args)


def _docstring(text: str) -> str:
    lines = text.replace("\\", "\\\\").replace('"', '\\"').splitlines()
    return "\n".join(['    """' + lines[0], *(f"    {line}".rstrip() for line in lines[1:]), '    """'])


def text_of(row: Mapping[str, Any], name: str) -> str:
    """The text under `name`, with line ends as `\\n`. Raises ValueError where there is none."""
    if not isinstance(row.get(name), str):
        raise ValueError(f"field {name!r} is missing or not text")
    return str(row[name]).replace("\r\n", "\n")


def parsed(source: str, field: str) -> ast.Module:
    """`source` as Python. Raises ValueError, which names the `field` that it stands in."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the {field} is not Python: {error}") from error
