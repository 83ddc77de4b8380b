"""Samples on disk: openai/human-eval's JSONL, written row by row, readable after a kill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from refute.disk import append, write_whole, writing
from refute.engines.humaneval.samples.completion import Completion
from refute.spec.experiments.evidence.humaneval import Sample


class SampleLog:
    """An append-only file of the samples of one run, identified by `key`.

    Opening it keeps the rows written under the same key, one a task and sample, and drops what a kill left torn or
    another run left behind. `close` it, or use it as a context manager. Raises UnwritableError where the disk takes no
    more.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._key = key
        self._done = {(row.task_id, row.sample): row for row in reversed(_readable_rows(path)) if row.key == key}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, b"".join(_line(row) for row in self._done.values()))
        self._path = path
        # No buffer: what cannot be written would be written once more when the file is closed.
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def __enter__(self) -> SampleLog:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; what was added is on disk already."""
        self._file.close()

    @property
    def done(self) -> Mapping[tuple[str, int], Completion]:
        """The samples so far, by task id and sample."""
        return {
            key: Completion(
                row.task_id, row.completion, row.new_tokens, row.stop, row.sample, row.answer, row.extraction
            )
            for key, row in self._done.items()
        }

    def add(self, completion: Completion) -> None:
        """Append a sample and hand it to the operating system at once; one that is there stays as it is.

        Raises UnwritableError where the disk takes no more.
        """
        if completion.key in self._done:
            return
        row = _row_of(completion, self._key)
        append(self._file, self._path, _line(row))
        self._done[completion.key] = row


def write_samples(path: Path, completions: Iterable[Completion]) -> None:
    """Write `completions` in their order as JSONL that openai/human-eval reads. Raises as `disk.unwritable` says."""
    write_whole(path, b"".join(_line(_row_of(completion, None)) for completion in completions))


def _row_of(completion: Completion, key: str | None) -> Sample:
    return Sample(
        task_id=completion.task_id,
        completion=completion.text,
        new_tokens=completion.new_tokens,
        stop=completion.stop,
        sample=completion.sample,
        answer=completion.answer,
        extraction=completion.extraction,
        key=key,
    )


def _line(row: Sample) -> bytes:
    return json.dumps(row.as_json(), sort_keys=True).encode("ascii") + b"\n"


def _readable_rows(path: Path) -> list[Sample]:
    if not path.exists():
        return []
    rows: list[Sample] = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(Sample.model_validate_json(line))
        except ValidationError:
            # A torn or foreign line costs its own sample only, which is generated again.
            continue
    return rows
