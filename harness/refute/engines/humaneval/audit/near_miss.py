"""Near misses: right answers with one operator broken, which a check that is able to fail fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from refute.engines.humaneval.audit.problem_file import Task

# Longer ones first: `<=` begins as `<` does.
_BROKEN: Mapping[str, str] = MappingProxyType(
    {
        "not in": "in",
        "==": "!=",
        "!=": "==",
        "<=": ">",
        ">=": "<",
        "//": "*",
        "**": "*",
        "<": ">=",
        ">": "<=",
        "+": "-",
        "-": "+",
        "*": "+",
        "/": "*",
        "%": "*",
        "in": "not in",
    }
)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Where in the bytes of a program an operator stands between its operands."""

    start: int
    end: int


def near_misses(task: Task) -> Iterator[str]:
    """Completions of `task`, each its reference solution with another operator broken, from the last to the first."""
    program = task.program(task.solution).encode("utf-8")
    head = len(task.head.encode("utf-8"))
    gaps = {(gap.start, gap.end) for gap in _gaps(program) if gap.start >= head}
    for start, end in sorted(gaps, reverse=True):
        text = program[start:end].decode("utf-8")
        operator = next((each for each in _BROKEN if each in text), None)
        if operator is not None:
            broken = text.replace(operator, _BROKEN[operator], 1).encode("utf-8")
            yield (program[head:start] + broken + program[end:]).decode("utf-8").rstrip("\n")


def _gaps(program: bytes) -> Iterator[_Gap]:
    lines = [0, *(place + 1 for place, byte in enumerate(program) if byte == ord("\n"))]

    def gap(left: ast.expr, right: ast.expr) -> _Gap:
        end_line, end_column = left.end_lineno or left.lineno, left.end_col_offset or 0
        return _Gap(lines[end_line - 1] + end_column, lines[right.lineno - 1] + right.col_offset)

    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.BinOp):
            yield gap(node.left, node.right)
        elif isinstance(node, ast.Compare):
            yield gap(node.left, node.comparators[0])
