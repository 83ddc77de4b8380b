"""What a KD run is made from: the YAML of `refute distill`, and what the plan of a release fills in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.fields import Closed, Positive
from refute.spec.release import ModelSource, Training


class TeacherPlace(Closed):
    """A model source and where it was found."""

    model: ModelSource
    path: str


class TopKPlace(Closed):
    """A folder of top-k teacher entries made by `refute distill prepare`."""

    topk: str


class TrainConfig(Closed):
    """What enters a training run; every path is one on this machine.

    `init` is a Hugging Face folder, `corpus` a folder of token shards or the evidence of a corpus. Without KD
    (`kd_weight` 0) a teacher is only used to evaluate, and may be null. `budget_hours` is what a whole run may take.
    `processes` share a run that a release asks for; `refute distill` gets its ranks from torchrun. `tensorboard` is a
    folder for event files.
    """

    training: Training
    teacher: TeacherPlace | None
    teacher_cache: TopKPlace | None = None
    init: str
    corpus: str
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2
    processes: Positive = 1
    tensorboard: str | None = None
    budget_hours: Annotated[float, Field(gt=0)] | None = None

    @property
    def depth(self) -> int:
        """How many teacher answers are made ahead. On a CPU, teacher and student would only share its cores."""
        if self.training.prefetch is not None:
            return self.training.prefetch
        return 2 if self.device == "cuda" else 0
