"""What went into a distillation, by digest, seed and sampler: as the evidence states it, not as it was asked for."""

from __future__ import annotations

from pydantic import Field

from refute.spec.fields import Closed, Sha256


class ModelInput(Closed):
    """A model by its parts. `weights_sha256` is of the weights as stored, `tokens_sha256` of the token list."""

    weights_sha256: Sha256
    tokens_sha256: Sha256
    merges_sha256: Sha256
    chat_template_sha256: Sha256 | None


class CorpusInput(Closed):
    """The windows that were trained on and held out, and the tokenizer that made them."""

    train_sha256: Sha256
    heldout_sha256: Sha256
    tokenizer_sha256: Sha256
    python_version: str


class TrainingInput(Closed):
    """What a training run says that it learned from, and the seed of its data order."""

    teacher_sha256: Sha256
    seed: int


class SamplerInput(Closed):
    """How tokens were chosen, as the sampler states it."""

    method: str
    temperature: float
    n: int
    repetition_penalty: float
    top_p: float = 1.0
    seed: int | None = None


class BackendInput(Closed):
    """Who generated the answers: a library, with the GGUF file that it read, or a server that was asked for a model."""

    kind: str
    version: str | None = None
    file_sha256: Sha256 | None = None
    base_url: str | None = None
    model: str | None = None


class EvaluationInput(Closed):
    """What a benchmark run read and how it asked. Template and system prompt are None where there is none."""

    backend: BackendInput | None = None
    problems_sha256: Sha256
    template_sha256: Sha256 | None
    protocol: str
    system_prompt: str | None = None
    sampler: SamplerInput


class Inputs(Closed):
    """Inputs by the names of the evidence that states them; None or absent: no such evidence in this run."""

    teacher: ModelInput | None = None
    init: ModelInput | None = None
    corpus: CorpusInput | None = None
    training: dict[str, TrainingInput] = Field(default_factory=dict)
    evaluations: dict[str, EvaluationInput] = Field(default_factory=dict)
