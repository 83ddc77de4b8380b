"""What an experiment function is handed: its configuration, input files, folders and a way to report progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Fact = float | int | str

# Called with stage, steps done, steps in all, and facts of this step.
ProgressCallback = Callable[[str, int, int, Mapping[str, Fact]], None]


@dataclass(slots=True)
class Stop:
    """Asks long work to end at its next good moment; `signal` says why, and is 0 until then."""

    signal: int = 0

    def __call__(self) -> bool:
        """Whether to begin nothing new."""
        return self.signal != 0


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of one piece of evidence that this experiment builds on, by their names."""

    name: str
    folder: Path

    def path(self, file: str) -> Path:
        """Where `file` (such as `model/config.json`) can be read. Raises FileNotFoundError if absent."""
        path = self.folder / file
        if not path.exists():
            raise FileNotFoundError(f"evidence {self.name!r} holds no {file!r} (looked in {self.folder})")
        return path


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment in its own process.

    `config` is the JSON text that the plan put into the evidence key. `out` becomes evidence when the
    function returns; `scratch` survives a kill, so checkpoints go there and a second run finds them.
    """

    name: str
    config: str
    inputs: Mapping[str, Inputs]
    out: Path
    scratch: Path
    report: ProgressCallback

    def progress(self, stage: str, step: int, total: int, **facts: Fact) -> None:
        """Tell the console: `step` of `total` of `stage`, with facts such as `loss=…`, `tokens_per_s=…`."""
        self.report(stage, step, total, facts)
