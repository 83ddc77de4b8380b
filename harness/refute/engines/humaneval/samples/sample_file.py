"""Reads openai/human-eval's samples: what is wrong is named with its line, and the rest is not lost."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.engines.humaneval.samples.completion import Key
from refute.errors import MissingInputsError


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of a task; `index` counts the samples of that task from 0, `line` is where it stands."""

    task_id: str
    index: int
    completion: str
    line: int

    @property
    def key(self) -> Key:
        """The task and the number of the sample."""
        return self.task_id, self.index


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no sample, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The samples of a file in its order, the lines that are none, and the SHA-256 of its bytes."""

    path: Path
    samples: tuple[Sample, ...]
    faults: tuple[Fault, ...]
    sha256: str


def read_samples(path: Path, tasks: Collection[str]) -> SampleFile:
    """The samples in a `.jsonl` or `.jsonl.gz` file: rows with `task_id` (one of `tasks`) and `completion`.

    Other keys are left alone, but for `sample`, which refute writes: the row's number among its task's samples.
    Without it rows are counted. A line that is not JSON, lacks a key, names an unknown task or repeats a `sample`
    is a fault. Raises MissingInputsError for a file that cannot be read or holds no sample at all.
    """
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise MissingInputsError(
            f"{path} cannot be read: {error}", hint="name a samples file: rows with task_id, completion"
        ) from error
    reader = _Reader(frozenset(tasks))
    for number, line in enumerate(text.split(b"\n"), start=1):
        if line.strip():
            reader.take(number, line)
    if not reader.samples:
        found = f"; line {reader.faults[0].line}: {reader.faults[0].reason}" if reader.faults else ""
        raise MissingInputsError(
            f"{path} holds no sample of any of the {len(tasks)} problems{found}",
            hint="expected JSON lines with the keys task_id and completion, and task ids of the problem file",
        )
    return SampleFile(path, tuple(reader.samples), tuple(reader.faults), hashlib.sha256(data).hexdigest())


def uneven_tasks(samples: Sequence[Sample], tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The tasks that have not as many samples as most have, with their lines; none at all: an empty tuple."""
    lines: dict[str, tuple[int, ...]] = dict.fromkeys(tasks, ())
    for sample in samples:
        lines[sample.task_id] += (sample.line,)
    # The commonest count that is not 0: of a few answers to many problems, those few are no surplus.
    usual, _ = Counter(len(found) for found in lines.values() if found).most_common(1)[0]
    return {task: found for task, found in lines.items() if len(found) != usual}


class _Reader:
    """Takes line after line; the state is what was seen so far."""

    def __init__(self, tasks: frozenset[str]) -> None:
        self.samples: list[Sample] = []
        self.faults: list[Fault] = []
        self._tasks = tasks
        self._first_lines: dict[tuple[str, int], int] = {}
        self._counts: Counter[str] = Counter()

    def take(self, number: int, line: bytes) -> None:
        for sample in self._read(number, line):
            self.samples.append(sample)
            self._counts[sample.task_id] += 1
            self._first_lines[sample.task_id, sample.index] = number

    def _read(self, number: int, line: bytes) -> Iterator[Sample]:
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            return self._fault(number, f"not JSON: {error}")
        if not isinstance(row, dict):
            return self._fault(number, f"expected a JSON object, found {type(row).__name__}")
        task, completion = row.get("task_id"), row.get("completion")
        for key, value in (("task_id", task), ("completion", completion)):
            if not isinstance(value, str):
                return self._fault(number, f"key {key!r} is missing or not text")
        if task not in self._tasks:
            return self._fault(number, f"unknown task {str(task)[:80]!r}")
        index = row.get("sample", self._counts[task])
        if type(index) is not int or index < 0:
            return self._fault(number, f"key 'sample' is {str(index)[:40]!r}, expected a number from 0")
        if first := self._first_lines.get((task, index)):
            return self._fault(number, f"sample {index} of {task} stands in line {first} already")
        yield Sample(task, index, str(completion), number)
        return None

    def _fault(self, number: int, reason: str) -> None:
        self.faults.append(Fault(number, reason))
