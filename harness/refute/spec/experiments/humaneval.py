"""Configurations of the HumanEval experiments."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.evidence.humaneval import Asked, SequentialRule
from refute.spec.fields import Closed, Positive, Sha256, Share
from refute.spec.release import HumanEval, ModelSource


class EvidenceModel(Closed):
    """The Hugging Face folder `model/` of the evidence `name`."""

    kind: Literal["evidence"]
    name: str


class SourceModel(Closed):
    """A model that the release names; `path` is the GGUF file or Hugging Face folder on this machine."""

    kind: Literal["source"]
    model: ModelSource
    path: str


class RandomModel(Closed):
    """Seeded random weights in the shape of `name`'s model, but with `layers` layers."""

    kind: Literal["random"]
    name: str
    layers: Positive
    seed: int


ModelChoice = Annotated[EvidenceModel | SourceModel | RandomModel, Field(discriminator="kind")]


class LlamaCppFile(Closed):
    """The GGUF file at `path`, answering in llama.cpp, `slots` samples at a time. `version` is xllamacpp's.

    Without `path` and `sha256` it is the one of full precision in the evidence `exported`.
    """

    kind: Literal["llama.cpp"]
    version: str
    path: str | None
    sha256: Sha256 | None
    slots: Positive


class ServedModel(Closed):
    """The model that a server calls `model`; see `release.AtServer`."""

    kind: Literal["openai"]
    base_url: str
    model: str
    concurrency: Positive
    attempts: Positive
    timeout_s: float
    key_variable: str | None


Backend = Annotated[LlamaCppFile | ServedModel, Field(discriminator="kind")]


class EvaluateConfig(Closed):
    """What `experiments.evaluate` needs. Without a `backend`, `model` is loaded in transformers.

    `limit` takes the first problems only; of those that are put, `allowed_error_share` may have no verdict.
    """

    model: ModelChoice
    humaneval: HumanEval
    problems_path: str
    backend: Backend | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2
    limit: Positive | None = None
    allowed_error_share: Share = 0.0


class FormatsConfig(EvaluateConfig):
    """What `ask_formats` needs: as a student is asked, but of the problems at most so many, drawn by `seed`.

    The `backend` is llama.cpp, and its file the one whose turn it is.
    """

    problems_at_most: Positive
    seed: int = 17


class CalibrateConfig(Closed):
    """What `experiments.calibrate` needs: all problems are used, whatever `humaneval.limit` says."""

    humaneval: HumanEval
    problems_path: str


class UntilDecidedConfig(EvaluateConfig):
    """What `evaluate_until_decided` needs."""

    sequential: SequentialRule


class ReplayConfig(Closed):
    """What `replay` needs: the answers of the evidence `run`, made by `model`, whose files it reads by itself.

    All recorded passes are executed again, and at most `passes_at_most` of them generated; of the others at most
    `others_at_most`, both ways. `limit` is the number of problems that were to be put. Without a `backend` the run
    loaded its model in transformers.
    """

    model: ModelChoice
    run: str
    humaneval: HumanEval
    problems_path: str
    limit: Positive | None = None
    backend: Literal["transformers", "llama.cpp", "openai"] = "transformers"
    passes_at_most: Positive = 32
    others_at_most: Positive = 8
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2


# Tasks whose solutions a test of memorisation asks for, and those that a copy of the student is taught.
MEMORISED, TAUGHT = 24, 8


class MemorisationConfig(Closed):
    """What `measure_memorisation` needs: three models, and the problems whose solutions they may have read.

    At most `tasks_at_most` are drawn, of those whose program has at most `tokens_at_most`.
    """

    teacher: ModelChoice
    init: ModelChoice
    student: ModelChoice
    problems_path: str
    tasks_at_most: Annotated[int, Field(ge=TAUGHT)] = MEMORISED
    tokens_at_most: Positive = 192
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2

    def models(self) -> dict[Asked, ModelChoice]:
        """By name, the student last."""
        return {"teacher": self.teacher, "init": self.init, "student": self.student}
