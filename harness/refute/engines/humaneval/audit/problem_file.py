"""The problem file, read anew: HumanEval's JSON Lines (Chen et al. 2021, arXiv 2107.03374), plain or gzip."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from refute.errors import MissingInputsError

_TEXTS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class Task:
    """One problem. `head` is its prompt without the white space at its end: a completion begins with its own."""

    task_id: str
    head: str
    entry_point: str
    solution: str
    test: str

    def program(self, completion: str) -> str:
        """What is executed. Imports from the future, which a whole program may begin with, come first."""
        lines = completion.split("\n")
        early = [line for line in lines if line.startswith("from __future__ import ")]
        return "\n".join([*early, self.head + "\n".join(line for line in lines if line not in early), ""])


def read_tasks(path: Path, limit: int | None = None) -> dict[str, Task]:
    """The tasks of the file in its order, or the first `limit`. Raises MissingInputsError for another shape of rows."""
    data = path.read_bytes()
    try:
        lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise _foreign(path, str(error)) from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or any(not isinstance(row.get(name), str) for name in _TEXTS):
            raise _foreign(path, f"row {number} has no text under one of {', '.join(_TEXTS)}")
    return {row["task_id"]: _task(row) for row in rows[:limit]}


def _foreign(path: Path, why: str) -> MissingInputsError:
    return MissingInputsError(
        f"{path}: answers are made again for problems of HumanEval's shape alone, in lines of JSON: {why}",
        hint="let a release ask for HumanEval's problems, or for others in its shape",
    )


def _task(row: dict[str, str]) -> Task:
    head = row["prompt"].rstrip()
    # Where prompt and solution together are the program, the head's lost white space belongs to the solution.
    solution = row["prompt"][len(head) :] + row["canonical_solution"]
    return Task(row["task_id"], head, row["entry_point"], solution, row["test"])
