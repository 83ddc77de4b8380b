"""A HumanEval problem, and the strict reader of files of them: a wrong line is named, never skipped."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refute.engines.humaneval.readers.file_bytes import unpacked
from refute.errors import MissingInputsError, UsageError
from refute.problem_rows.formats import as_humaneval

_TEXTS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: `prompt` ends inside the function `entry_point`, `test` defines `check(candidate)`.

    `category` is what the file sorts it under, None where it sorts nothing.
    """

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str
    category: str | None = None


def load_problems(path: Path, *, limit: int | None = None) -> tuple[Problem, ...]:
    """The problems of a file of JSON lines, or one array, packed by gzip or not, in its order, or the first `limit`.

    Rows of EvalPlus and MBPP become HumanEval's, as `formats.as_humaneval` says. The whole file is checked whatever the
    limit. Raises MissingInputsError, with file and line (or place), for a file
    that is absent, empty or not gzip, a line that is not a JSON object with the five text fields, a task id
    that occurs twice, a prompt that does not define its entry point, a test that defines no `check`.
    UsageError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected at least 1")
    problems: dict[str, Problem] = {}
    for number, row in _rows(path):
        problem = _parse(f"{path}:{number}", row)
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
    except (SyntaxError, ValueError):
        return f"{prompt.rstrip()}\n    pass\n"
    return prompt


def content_of(path: Path) -> bytes:
    """The text of a problem file in UTF-8, unpacked. Raises MissingInputsError where it cannot be read."""
    try:
        return unpacked(path)
    except (OSError, ValueError) as error:
        raise _fault(str(path), f"cannot be read: {error}") from error


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    """Each line's content with its number, or each entry of an array with its place from 1."""
    try:
        text = content_of(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(str(path), f"cannot be read as UTF-8 lines: {error}") from error
    if text.lstrip().startswith("["):
        yield from enumerate(_array(str(path), text), start=1)
        return
    # Not splitlines: JSON text may hold other line separators within a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _json(f"{path}:{number}", line)


def _array(where: str, text: str) -> list[object]:
    found = _json(where, text)
    return found if isinstance(found, list) else [found]


def _json(where: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(where, f"not JSON: {error}") from error


def _parse(where: str, given: object) -> Problem:
    if not isinstance(given, dict):
        raise _fault(where, f"expected a JSON object, found {type(given).__name__}")
    try:
        row = as_humaneval(given)
    except ValueError as error:
        raise _fault(where, str(error)) from error
    for name in _TEXTS:
        if not isinstance(row.get(name), str):
            raise _fault(where, f"field {name!r} is missing or not text")
    category = row.get("category")
    if category is not None and not isinstance(category, str):
        raise _fault(where, "field 'category' is not text")
    problem = Problem(**{name: row[name] for name in _TEXTS}, category=category)
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
    return MissingInputsError(
        f"{where}: {what}",
        hint="use a problem file of the shape of HumanEval, EvalPlus or MBPP, one JSON object a line",
    )
