"""The configuration of HumanEval experiments, as JSON text in a Job."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from refute.errors import UsageError
from refute.job import Job
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
    """The GGUF file at `path`, answering in llama.cpp, `slots` samples at a time. `version` is xllamacpp's."""

    kind: Literal["llama.cpp"]
    version: str
    path: str
    sha256: Sha256
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


class CalibrateConfig(Closed):
    """What `experiments.calibrate` needs: all problems are used, whatever `humaneval.limit` says."""

    humaneval: HumanEval
    problems_path: str


Parsed = TypeVar("Parsed", bound=Closed)


def parse_config(kind: type[Parsed], job: Job) -> Parsed:
    """The job's configuration. Raises UsageError naming the experiment and every key that is wrong."""
    try:
        return kind.model_validate_json(job.config)
    except ValidationError as error:
        raise UsageError(
            f"experiment {job.name!r} got a configuration that {kind.__name__} does not accept: {error}",
            hint="this is a fault of the plan that wrote it, or of a hand-written configuration",
        ) from error
