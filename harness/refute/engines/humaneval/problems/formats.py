"""Rows of other benchmarks' problem files as HumanEval's: EvalPlus's inputs, and MBPP's task with its assertions."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

# What EvalPlus calls equal (evalplus/eval/__init__.py): the same, or close where there is a tolerance, which floats
# always have; a root of a polynomial is any root. All that is expected is computed before the candidate is asked.
_DIFFERENTIAL = """\
import copy
import math

inf, nan = math.inf, math.nan
_SOLUTION = {solution!r}
_INPUTS = {inputs!r}
_TOLERANCE = {tolerance!r}


def _floats(value):
    return isinstance(value, float) or (isinstance(value, (list, tuple)) and all(isinstance(x, float) for x in value))


def _close(found, expected, tolerance):
    if isinstance(expected, (list, tuple)):
        alike = isinstance(found, (list, tuple)) and len(found) == len(expected)
        return alike and all(_close(*pair, tolerance) for pair in zip(found, expected))
    numbers = isinstance(found, (int, float)) and isinstance(expected, (int, float))
    return numbers and abs(found - expected) <= tolerance + 1e-7 * abs(expected)


def _right(given, found, expected):
    if {name!r} == "find_zero":
        return abs(sum(factor * found**power for power, factor in enumerate(given[0]))) <= _TOLERANCE
    tolerance = _TOLERANCE or (1e-6 if _floats(expected) else 0)
    return found == expected or (tolerance > 0 and _close(found, expected, tolerance))


def check(candidate):
    reference = {{}}
    exec(_SOLUTION, reference)
    expected = [reference[{name!r}](*copy.deepcopy(given)) for given in _INPUTS]
    for given, value in zip(_INPUTS, expected):
        assert _right(given, candidate(*copy.deepcopy(given)), value), f"for {{repr(given)[:200]}}"
"""
_MBPP_PLUS = (
    "EvalPlus's MBPP+: what its inputs and oracles mean is written in EvalPlus's program and not in this file; "
    "take the rows of evalplus/mbppplus at Hugging Face, which have a `test`"
)


def as_humaneval(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with HumanEval's fields, whichever benchmark it is of. Raises ValueError, which says what it lacks."""
    if "test_list" in row and "code" in row:
        return {**row, **_mbpp(row)}
    if "base_input" in row and "test" not in row:
        return {**row, "test": _evalplus(row)}
    return row


def _evalplus(row: Mapping[str, Any]) -> str:
    """A test that holds the candidate against the canonical solution on all inputs, those of the base first."""
    if str(row.get("task_id", "")).startswith("Mbpp/"):
        raise ValueError(_MBPP_PLUS)
    parts = [row.get(name) for name in ("base_input", "plus_input")]
    inputs = [given for part in parts if isinstance(part, list) for given in part]
    if not all(isinstance(part, list) for part in parts) or not all(isinstance(given, list) for given in inputs):
        raise ValueError("base_input and plus_input are not lists of arguments")
    tolerance = row.get("atol", 0)
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise ValueError(f"atol is {tolerance!r}, expected a number of at least 0")
    solution = f"{row.get('prompt')}{row.get('canonical_solution')}"
    return _DIFFERENTIAL.format(solution=solution, inputs=inputs, tolerance=tolerance, name=row.get("entry_point"))


def _mbpp(row: Mapping[str, Any]) -> Mapping[str, str]:
    """MBPP's task as a function to complete: head and parameters from its solution, the task and its tests below it.

    A test of MBPP+ (`test`) stands in place of the assertions. Raises ValueError.
    """
    solution, tests = _text(row, "code"), row["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise ValueError("test_list is no list of assertions")
    if type(row.get("task_id")) not in (int, str):
        raise ValueError(f"task_id is {row.get('task_id')!r}, expected a number or text")
    asserted = _parsed("\n".join(tests), "test_list")
    function = _tested(_parsed(solution, "code"), asserted)
    told = "\n".join([_text(row, "text" if "text" in row else "prompt").strip(), "", *tests])
    return {
        "task_id": f"MBPP/{row.get('task_id')}",
        "prompt": f"def {function.name}({_parameters(function)}):\n{_docstring(told)}\n",
        "entry_point": function.name,
        "canonical_solution": f"\n\n{solution}\n",
        "test": _check(row, asserted),
    }


def _check(row: Mapping[str, Any], asserted: ast.Module) -> str:
    imports = row.get("test_imports") or []
    lines = [*imports, row.get("test_setup_code") or ""]
    if not isinstance(imports, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("test_imports and test_setup_code are not text")
    setup = "\n".join(lines).replace("\r\n", "\n")
    body = _parsed(row["test"], "test").body if isinstance(row.get("test"), str) else asserted.body
    check = _parsed("def check(candidate):\n    pass", "check")
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


def _text(row: Mapping[str, Any], name: str) -> str:
    if not isinstance(row.get(name), str):
        raise ValueError(f"field {name!r} is missing or not text")
    return str(row[name]).replace("\r\n", "\n")


def _parsed(source: str, field: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the {field} is not Python: {error}") from error
