"""Reads results for a comparison: refute's own, and those that openai/human-eval wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


def read_results(path: Path) -> ResultFile:
    """The results at `path`, or in `results.jsonl` of that folder: rows with `task_id` and a boolean `passed`.

    Raises UnreadableInputError, with the line, for a file that cannot be read, holds no row, or holds one that is no
    result: a comparison over what is left of a file would be about other samples than it says.
    """
    place = path / RESULTS if path.is_dir() else path
    try:
        lines = place.read_bytes().split(b"\n")
    except OSError as error:
        raise _fault(str(place), error.strerror or str(error)) from error
    counts: dict[str, Count] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            task, passed = _read(f"{place}:{number}", line)
            before = counts.get(task, Count(0, 0))
            counts[task] = Count(before.n + 1, before.passed + passed)
    if not counts:
        raise _fault(str(place), "the file holds no result")
    return ResultFile(place, counts, read_identity(place))


def _read(where: str, line: bytes) -> tuple[str, bool]:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _fault(where, f"not JSON: {error}") from error
    task, passed = (row.get("task_id"), row.get("passed")) if isinstance(row, dict) else (None, None)
    if not isinstance(task, str) or not isinstance(passed, bool):
        raise _fault(where, "expected a JSON object with the text task_id and true or false under passed")
    return task, passed


def _fault(where: str, what: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"{where}: {what}", hint="name a results file (refute eval score …), or a folder with results.jsonl"
    )
