"""What models are asked, noted where they are called, readable after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from refute.disk import writing
from refute.engines.humaneval.samples.completion import Completion
from refute.spec.experiments.evidence.humaneval import ModelCall

Note = Callable[[ModelCall], None]


def note_nothing(_call: ModelCall) -> None:
    """For calls that make no sample of the run: those that are only compared with it."""


class CallLog:
    """An append-only file of calls. Several threads may note at once: each line is written whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, call: ModelCall) -> None:
        """Append one call. Raises UnwritableError where the disk takes no more."""
        with writing(self._path), self._path.open("ab", buffering=0) as file:
            # A torn line of a killed run would swallow what is written behind it.
            file.write(b"\n" + json.dumps(call.as_json()).encode("ascii"))

    def calls_of(self, completions: Iterable[Completion]) -> list[ModelCall]:
        """The last call for each of `completions` that has one, in their order: the one that it came of."""
        last = {(call.task_id, call.sample): call for call in self._readable()}
        return [last[completion.key] for completion in completions if completion.key in last]

    def _readable(self) -> list[ModelCall]:
        calls: list[ModelCall] = []
        for line in self._path.read_bytes().split(b"\n") if self._path.exists() else ():
            try:
                calls.append(ModelCall.model_validate_json(line))
            except ValidationError:
                # Empty, or torn by a kill: its sample is generated again.
                continue
        return calls
