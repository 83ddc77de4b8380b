"""Reads results for a comparison: refute's own, and those of openai/human-eval, EvalPlus, lm-eval and Inspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from refute.engines.humaneval.readers.file_bytes import unpacked
from refute.engines.humaneval.readers.records import Record, records
from refute.engines.humaneval.readers.shapes import Given, given_by
from refute.engines.humaneval.readers.task_names import TaskNames
from refute.engines.humaneval.scoring.result_log import read_identity
from refute.engines.humaneval.scoring.tally import Count
from refute.errors import UnreadableInputError

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """Passes of each task, in file order, and what the file is a result of (None if refute did not write it)."""

    path: Path
    counts: Mapping[str, Count]
    identity: Mapping[str, object] | None

    def named_as(self, other: ResultFile) -> ResultFile:
        """The same under the ids of `other`, for each task that one of them means and no other task means, too."""
        names = TaskNames(other.counts)
        found = {task: names.find(task) or task for task in self.counts}
        if len(set(found.values())) < len(found):
            return self
        return replace(self, counts={found[task]: count for task, count in self.counts.items()})


def read_results(path: Path) -> ResultFile:
    """The results at `path`, or in `results.jsonl` of that folder: rows with a task and whether the sample passed.

    Raises UnreadableInputError, with the line, for a file that cannot be read, holds no row, or holds one that is no
    result: a comparison over what is left of a file would be about other samples than it says.
    """
    place = path / RESULTS if path.is_dir() else path
    try:
        found = records(unpacked(place))
    except (OSError, ValueError) as error:
        raise _fault(str(place), str(error)) from error
    counts: dict[str, Count] = {}
    for record in found:
        for task, passed in _read(f"{place}:{record.number}", record):
            before = counts.get(task, Count(0, 0))
            counts[task] = Count(before.n + 1, before.passed + passed)
    if not counts:
        raise _fault(str(place), "the file holds no result")
    return ResultFile(place, counts, read_identity(place))


def _read(where: str, record: Record) -> list[tuple[str, bool]]:
    if record.fault:
        raise _fault(where, record.fault)
    try:
        given = given_by(_with_text(record.value))
    except (ValueError, TypeError, AttributeError) as error:
        raise _fault(where, f"expected a JSON object with a task's id and whether it passed: {error}") from error
    return [_verdict(where, each) for each in given]


def _with_text(row: object) -> Mapping[str, object]:
    """The row; results of openai/human-eval may lack the completion that they are about."""
    if not isinstance(row, dict):
        raise ValueError(f"found {type(row).__name__}")
    return {"completion": "", **row} if "passed" in row else row


def _verdict(where: str, given: Given) -> tuple[str, bool]:
    if isinstance(given.task, bool) or not isinstance(given.task, str | int) or given.passed is None:
        raise _fault(where, "expected a JSON object with the text task_id and true or false under passed")
    return str(given.task), given.passed


def _fault(where: str, what: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"{where}: {what}",
        hint="name a results file (refute eval score …), a folder with results.jsonl, or the results of another tool",
    )
