"""Where in an author's file an exception came from: what a record says in place of a traceback."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file. `str()` gives `falsifiers/answers.py:12`: the same text on every machine."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}:{self.line}"


def place_of(error: BaseException, folder: Path) -> Place | None:
    """The innermost line of a file directly in `folder` that `error` came through; None where there is none.

    Of a SyntaxError that is the line that is no Python.
    """
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).parent == folder:
        return Place(Path(error.filename), error.lineno or 1)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == folder]
    return Place(Path(frames[-1].filename), frames[-1].lineno or 1) if frames else None
