"""Reads the evidence of a run through the models of its files: what was not run is None or nothing, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from refute.judge.run.folder import EvidenceLine
from refute.spec.experiments.evidence_files import JsonFile, RowsFile

Lines = Mapping[str, EvidenceLine]
Content = TypeVar("Content", bound=BaseModel)


def read_object(lines: Lines, name: str, file: JsonFile[Content]) -> Content | None:
    """What stands in `file` of the evidence `name`; None where the run has no such file.

    Raises EvidenceError where it holds anything else than its model.
    """
    line = _line_with(lines, name, file.name)
    return None if line is None else file.read(Path(line.folder), name)


def read_rows(lines: Lines, name: str, file: RowsFile[Content]) -> tuple[Content, ...]:
    """The rows of `file` of the evidence `name`, none where the run has no such file. Raises as `read_object` does."""
    line = _line_with(lines, name, file.name)
    return () if line is None else file.read(Path(line.folder), name)


def _line_with(lines: Lines, name: str, file: str) -> EvidenceLine | None:
    line = lines.get(name)
    return line if line is not None and file in line.files else None
