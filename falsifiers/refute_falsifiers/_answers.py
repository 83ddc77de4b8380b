"""Rows about a model's answers by what each is called: its task, and its number where a task has several."""

from __future__ import annotations

from typing import Any

from refute import Evidence

Row = dict[str, Any]


def name_of(row: Row) -> str:
    """A task's first answer is called as the task."""
    sample = row.get("sample", 0)
    return str(row["task_id"]) if sample == 0 else f"{row['task_id']}~{sample}"


def by_answer(evidence: Evidence, file: str) -> dict[str, Row]:
    """The rows of a file, each by its answer. Raises ValueError where two are about one."""
    rows = evidence.rows(file)
    found = {name_of(row): row for row in rows}
    if len(found) < len(rows):
        raise ValueError(
            f"{evidence.name}/{file}: {len(rows)} rows are about {len(found)} answers, expected one of each"
        )
    return found
