"""The problem grids of a report: outcomes, and of each answer its beginning and the digest of the whole.

A verdict must stay small: however long completions are, the signed texts together stay within fixed budgets, shared
evenly. The whole completions are evidence (samples.jsonl), and their digests are signed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refute.judge.predicate.exhibits import CompletionExcerpt, Grid, Outcomes, Prompt
from refute.judge.run.folder import EvidenceLine

Lines = Mapping[str, EvidenceLine]


SCORED = (
    ("teacher", "humaneval_teacher"),
    ("init", "humaneval_init"),
    ("student", "humaneval_student"),
    ("student, until decided", "humaneval_sequential"),
)


# Characters: of all prompts, of all completions with their reasons, and of one text at most.
_PROMPTS, _ANSWERS, _LONGEST = 65_536, 131_072, 1_200


_LONGEST_REASON = 200


def grids(lines: Lines) -> tuple[Grid, ...]:
    """One grid for each model that was scored, in the order of its results."""
    found = [(label, name, rows) for label, name in SCORED if (rows := _rows(lines, name, "results.jsonl"))]
    share = min(_LONGEST, _ANSWERS // max(sum(len(rows) for *_, rows in found), 1))
    return tuple(_grid(label, rows, _rows(lines, name, "samples.jsonl"), share) for label, name, rows in found)


def prompts(lines: Lines) -> tuple[Prompt, ...]:
    """The problems of the grids as they were put, each once, in order of first appearance."""
    texts = {row["task_id"]: str(row["prompt"]) for _, name in SCORED for row in _rows(lines, name, "prompts.jsonl")}
    share = min(_LONGEST, _PROMPTS // max(len(texts), 1))
    return tuple(Prompt(problem=task, text=_sound(text)[:share], characters=len(text)) for task, text in texts.items())


def _grid(label: str, rows: Sequence[Mapping[str, Any]], samples: Iterable[Mapping[str, Any]], share: int) -> Grid:
    outcomes: tuple[Outcomes, ...] = tuple(row["outcome"] for row in rows)
    tasks = tuple(row["task_id"] for row in rows)
    completions = {row["task_id"]: str(row["completion"]) for row in samples}
    # A problem without a verdict may have no answer, but it has a reason.
    answers = tuple(
        _answer(completions.get(row["task_id"], ""), str(row.get("detail", "")), share)
        for row in rows
        if row["task_id"] in completions or (completions and row["outcome"] == "error")
    )
    return Grid(name=label, problems=tasks, outcomes=outcomes, answers=answers)


def _answer(completion: str, reason: str, share: int) -> CompletionExcerpt:
    return CompletionExcerpt(
        completion=_sound(completion)[:share],
        completion_sha256=hashlib.sha256(completion.encode("utf-8", "surrogatepass")).hexdigest(),
        characters=len(completion),
        reason=_sound(reason)[:_LONGEST_REASON],
    )


def _sound(text: str) -> str:
    """Text that UTF-8 can hold: a server may have sent half of a pair."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rows(lines: Lines, name: str, file: str) -> list[dict[str, Any]]:
    line = lines.get(name)
    if line is None or file not in line.files:
        return []
    text = (Path(line.folder) / file).read_text(encoding="utf-8")
    return [json.loads(row) for row in text.split("\n") if row]
