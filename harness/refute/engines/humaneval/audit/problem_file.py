"""The problem file, read anew: that of HumanEval (Chen et al. 2021, arXiv 2107.03374), or of EvalPlus or MBPP.

What the rows of EvalPlus and MBPP mean as HumanEval's stands in one place for all who read them, `problem_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.errors import MissingInputsError
from refute.problem_rows.formats import humaneval_rows
from refute.spec.experiments.evidence.humaneval import answer_name

_TEXTS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class Task:
    """One problem. `head` is its prompt without the white space at its end: a completion begins with its own.

    `sample`: which of several answers to it is meant; where only one each is asked for, the first.
    """

    task_id: str
    head: str
    entry_point: str
    solution: str
    test: str
    sample: int = 0

    @property
    def name(self) -> str:
        """What the answer is called among all of a run."""
        return answer_name(self.task_id, self.sample)

    def program(self, completion: str) -> str:
        """What is executed. Imports from the future, which a whole program may begin with, come first."""
        lines = completion.split("\n")
        early = [line for line in lines if line.startswith("from __future__ import ")]
        return "\n".join([*early, self.head + "\n".join(line for line in lines if line not in early), ""])


def read_tasks(path: Path, limit: int | None = None) -> dict[str, Task]:
    """The tasks of the file in its order, or the first `limit`. Raises MissingInputsError for another shape of rows."""
    try:
        rows = humaneval_rows(path.read_bytes())
    except ValueError as error:
        raise _foreign(path, str(error)) from error
    for number, row in enumerate(rows, start=1):
        if any(not isinstance(row.get(name), str) for name in _TEXTS):
            raise _foreign(path, f"row {number} has no text under one of {', '.join(_TEXTS)}")
    return {row["task_id"]: _task(row) for row in rows[:limit]}


def _foreign(path: Path, why: str) -> MissingInputsError:
    return MissingInputsError(
        f"{path}: answers are made again for problems of HumanEval, EvalPlus and MBPP: {why}",
        hint="let a release ask for HumanEval's problems, or for others in its shape",
    )


def _task(row: Mapping[str, str]) -> Task:
    head = row["prompt"].rstrip()
    # Where prompt and solution together are the program, the head's lost white space belongs to the solution.
    solution = row["prompt"][len(head) :] + row["canonical_solution"]
    return Task(row["task_id"], head, row["entry_point"], solution, row["test"])
