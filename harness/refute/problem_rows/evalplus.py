"""Rows of EvalPlus as HumanEval's: a test that holds the answer against the canonical solution, on all inputs."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from refute.problem_rows.mbpp import head_to_complete, parsed, text_of
from refute.problem_rows.mbpp_plus import FOUND_OR_NOT, RULES, arguments

# What EvalPlus calls equal (evalplus/eval/__init__.py): the same, or close where there is a tolerance, which floats
# always have, or as a rule of the problem says. All that is expected is computed before the candidate is asked.
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


def _by_rule(given, found, expected):
{rule}


def _right(given, found, expected):
    ruled = _by_rule(given, found, expected)
    if ruled is not None:
        return ruled
    tolerance = _TOLERANCE or (1e-6 if _floats(expected) else 0)
    return found == expected or (tolerance > 0 and _close(found, expected, tolerance))


def _answer(candidate, given):
    try:
        return candidate(*given)
    except TypeError as error:
        # A match of `re`, say, which cannot come over here: where it is asked for, something is known of it.
        if {any_object!r} and "is not plain data" in str(error):
            return object
        raise


def check(candidate):
    reference = {{}}
    exec(_SOLUTION, reference)
    expected = [reference[{name!r}](*copy.deepcopy(given)) for given in _INPUTS]
    for given, value in zip(_INPUTS, expected):
        assert _right(given, _answer(candidate, copy.deepcopy(given)), value), f"for {{repr(given)[:200]}}"
"""
_MBPP = "Mbpp/"
_NO_RULE = "return None"
# A root of a polynomial is any root.
_RULES = MappingProxyType(
    {
        "find_zero": "return abs(sum(factor * found**power for power, factor in enumerate(given[0]))) <= _TOLERANCE",
    }
)


def evalplus_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with a `test`; of MBPP+, whose prompt is a docstring, with a head to complete. Raises ValueError."""
    if not str(row.get("task_id", "")).startswith(_MBPP):
        return {**row, "test": _test(row, _inputs(row), _RULES)}
    name, solution = text_of(row, "entry_point"), text_of(row, "canonical_solution")
    inputs = [arguments(int(row["task_id"].removeprefix(_MBPP)), given) for given in _inputs(row)]
    told = ast.get_docstring(parsed(text_of(row, "prompt"), "prompt")) or row["prompt"]
    return {
        **row,
        "prompt": head_to_complete(_defined(name, solution), told),
        "canonical_solution": f"\n\n{solution.strip()}\n",
        "test": _test(row, inputs, RULES),
    }


def _defined(name: str, solution: str) -> ast.FunctionDef:
    for node in parsed(solution, "canonical_solution").body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise ValueError(f"the canonical_solution defines no function {name!r}")


def _inputs(row: Mapping[str, Any]) -> list[list[Any]]:
    """The arguments of each call, those of the base first."""
    parts = [row.get(name) for name in ("base_input", "plus_input")]
    inputs = [given for part in parts if isinstance(part, list) for given in part]
    if not all(isinstance(part, list) for part in parts) or not all(isinstance(given, list) for given in inputs):
        raise ValueError("base_input and plus_input are not lists of arguments")
    return inputs


def _test(row: Mapping[str, Any], inputs: object, rules: Mapping[str, str]) -> str:
    tolerance = row.get("atol", 0)
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise ValueError(f"atol is {tolerance!r}, expected a number of at least 0")
    name = row.get("entry_point")
    return _DIFFERENTIAL.format(
        solution=f"{row.get('prompt')}{row.get('canonical_solution')}",
        inputs=inputs,
        tolerance=tolerance,
        name=name,
        any_object=name in FOUND_OR_NOT,
        rule=textwrap.indent(rules.get(str(name), _NO_RULE), "    "),
    )
