"""A HumanEval problem, and the strict reader of files of them: a wrong line is named, never skipped."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from refute.errors import MissingInputsError, UsageError


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: `prompt` ends inside the function `entry_point`, `test` defines `check(candidate)`."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str


def load_problems(path: Path, *, limit: int | None = None) -> tuple[Problem, ...]:
    """The problems of a file of JSON lines, packed by gzip or not, in file order, or the first `limit` of them.

    The whole file is checked whatever the limit. Raises MissingInputsError, with file and line, for a file
    that is absent, empty or not gzip, a line that is not a JSON object with the five text fields, a task id
    that occurs twice, a prompt that does not define its entry point, a test that defines no `check`.
    UsageError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected at least 1")
    problems: dict[str, Problem] = {}
    for number, line in _lines(path):
        problem = _parse(f"{path}:{number}", line)
        if problem.task_id in problems:
            raise _fault(f"{path}:{number}", f"task id {problem.task_id!r} occurs twice")
        problems[problem.task_id] = problem
    if not problems:
        raise _fault(str(path), "the file holds no problem")
    return tuple(problems.values())[:limit]


def order_key(seed: int, task_id: str) -> str:
    """Sorts problems into a random order that is the same on every machine, whatever their order was."""
    return hashlib.sha256(f"{seed}:{task_id}".encode()).hexdigest()


def prompt_module(prompt: str) -> str:
    """The prompt as code that compiles: its last function has a body even where no docstring gives it one."""
    try:
        ast.parse(prompt)
    except SyntaxError:
        return f"{prompt.rstrip()}\n    pass\n"
    return prompt


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise _fault(str(path), f"cannot be read as UTF-8 lines: {error}") from error
    # Not splitlines: JSON text may hold other line separators within a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _parse(where: str, line: str) -> Problem:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _fault(where, f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _fault(where, f"expected a JSON object, found {type(row).__name__}")
    for field in fields(Problem):
        if not isinstance(row.get(field.name), str):
            raise _fault(where, f"field {field.name!r} is missing or not text")
    problem = Problem(**{field.name: row[field.name] for field in fields(Problem)})
    if not problem.task_id:
        raise _fault(where, "the task id is empty")
    _require_function(where, prompt_module(problem.prompt), problem.entry_point, "prompt")
    _require_function(where, problem.test, "check", "test")
    return problem


def _require_function(where: str, source: str, name: str, field: str) -> None:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise _fault(where, f"the {field} is not Python: {error}") from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == name for node in body):
        raise _fault(where, f"the {field} defines no function {name!r}")


def _fault(where: str, what: str) -> MissingInputsError:
    return MissingInputsError(f"{where}: {what}", hint="use a HumanEval-shaped problem file, one JSON object a line")
