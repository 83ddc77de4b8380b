"""Configurations of the experiments about a student that somebody else has trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.distill import TeacherPlace
from refute.spec.fields import Closed, Positive
from refute.spec.publication import HubModel
from refute.spec.release import ModelSource, RecordFormat


class FetchConfig(Closed):
    """What enters `fetch_student`."""

    model: HubModel


class OpenConfig(Closed):
    """What enters `open_model_files`: the files of input `student`, or where no such input is, those at `path`."""

    model: ModelSource
    path: str | None = None


class LintConfig(Closed):
    """What enters `lint_student`: the format of the files in input `student`."""

    format: Literal["hf", "gguf"]


class HeldoutConfig(Closed):
    """What enters `score_finished`: the first `windows` held-out ones, and who is scored beside the student."""

    windows: Positive
    teacher: TeacherPlace | None
    init: bool
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2


class RecordConfig(Closed):
    """What enters `import_record`: a trainer's file, or folder."""

    format: RecordFormat
    path: Annotated[str, Field(min_length=1)]
