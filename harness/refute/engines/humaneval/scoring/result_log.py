"""Results on disk: openai/human-eval's JSONL, appended row by row under an identity, continued after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from refute.disk import append, write_whole, writing
from refute.engines.humaneval.samples.completion import Key
from refute.engines.humaneval.sandbox.stations import Result
from refute.errors import UsageError


@dataclass(frozen=True, slots=True)
class Row:
    """One scored sample: the keys of openai/human-eval's results, then refute's own.

    `result` is "passed", "timed out" or "failed: …". `sample` counts a task's samples from 0. `retried`: it ran
    out of time or memory beside others, and this is what came of it alone.
    """

    task_id: str
    completion: str
    result: str
    passed: bool
    sample: int
    retried: bool

    @property
    def timed_out(self) -> bool:
        """Whether no verdict came in time."""
        return self.result == "timed out"

    @property
    def ending(self) -> tuple[str, str]:
        """The outcome in a word or two, and what is said beside it."""
        outcome, _, detail = self.result.partition(": ")
        return outcome, detail


def row_of(result: Result, completion: str, index: int) -> Row:
    """The row of a verdict. Raises ValueError for an `error`, which is none."""
    words = {"passed": "passed", "timeout": "timed out", "failed": f"failed: {result.detail}"}
    if result.outcome not in words:
        raise ValueError(f"{result.task_id}: an error is no verdict: {result.detail}")
    return Row(result.task_id, completion, words[result.outcome], result.passed, index, result.retried)


def identity_path(path: Path) -> Path:
    """Where the identity of the results at `path` is kept."""
    return path.with_name(f"{path.name}.run.json")


class ResultLog:
    """The results of one run at `path`; beside them, in `<path>.run.json`, what they are results of."""

    def __init__(self, path: Path, identity: Mapping[str, object], stream: IO[bytes]) -> None:
        self.identity = identity
        self.path = path
        self._stream = stream
        self._rows = {(row.task_id, row.sample): row for row in _whole_rows(stream)}

    @property
    def rows(self) -> Mapping[Key, Row]:
        """What was scored so far, by task and sample."""
        return self._rows

    def add(self, row: Row) -> None:
        """Append a row and hand it to the operating system. Raises UnwritableError where the disk takes no more."""
        append(self._stream, self.path, _line(row))
        self._rows[row.task_id, row.sample] = row

    def sort(self, order: Iterable[Key]) -> None:
        """Put the rows into `order`, at once or not at all; those that are not there yet are left out. Done last."""
        rows = [self._rows[key] for key in order if key in self._rows]
        write_whole(self.path, b"".join(map(_line, rows)))


@contextlib.contextmanager
def open_results(path: Path, identity: Mapping[str, object]) -> Iterator[ResultLog]:
    """The log at `path`: a new one, or the one that a run with this identity left behind, cut after its last whole row.

    Held by one process at a time. Raises UsageError where another process holds it, where the results belong to
    other samples, problems or limits, or where nothing says what they belong to; UnwritableError for a full disk.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # No buffer: a row is with the operating system, or an error, before the next one is scored.
        stream = path.open("a+b", buffering=0)
    with stream:
        _hold(stream, path)
        _claim(path, identity, fresh=os.fstat(stream.fileno()).st_size == 0)
        yield ResultLog(path, identity, stream)


def read_identity(path: Path) -> Mapping[str, object] | None:
    """What the results at `path` are results of; None where refute did not write them."""
    try:
        found = json.loads(identity_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _hold(stream: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"another process writes {path}", hint="wait for it, or name another --out") from error
    # Whoever sorted the file meanwhile replaced it: then this lock holds a file that is gone.
    if not path.exists() or path.stat().st_ino != os.fstat(stream.fileno()).st_ino:
        raise UsageError(f"another process has just finished {path}", hint="run the command again")


def _claim(path: Path, identity: Mapping[str, object], *, fresh: bool) -> None:
    if fresh:
        write_whole(identity_path(path), (json.dumps(identity, indent=1, sort_keys=True) + "\n").encode("ascii"))
        return
    known = read_identity(path)
    if known is None:
        raise UsageError(
            f"{path} exists, and no {identity_path(path).name} beside it says what its rows are results of",
            hint="name another --out, or move the file away",
        )
    changed = sorted(key for key in {*known, *identity} if known.get(key) != identity.get(key))
    if changed:
        shown = "; ".join(f"{key} was {known.get(key)!r}, is {identity.get(key)!r}" for key in changed)
        raise UsageError(f"{path} holds results of another run: {shown}", hint="name another --out, or delete it")


def _whole_rows(stream: IO[bytes]) -> list[Row]:
    """The rows up to the first that is torn, where the file is cut: the next row starts on a line of its own."""
    stream.seek(0)
    rows: list[Row] = []
    end = 0
    for line in stream.read().splitlines(keepends=True):
        try:
            row = Row(**json.loads(line))
        except (ValueError, TypeError):
            break
        if not line.endswith(b"\n"):
            break
        rows.append(row)
        end += len(line)
    stream.truncate(end)
    return rows


def _line(row: Row) -> bytes:
    return json.dumps(asdict(row)).encode("ascii") + b"\n"
