"""Release YAML -> frozen models: what is judged, what it is made from, and under which budgets.

Everything an engine may vary is stated here and enters the evidence key. Sizes are in tokens, steps,
seconds or mebibytes, as their names say. Paths are relative to the release file.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from refute.outcome import RunClass
from refute.spec.experiments.training import Training
from refute.spec.fields import Closed, Positive, ReleaseId, Sha256, environment_variable, http_address
from refute.spec.publication import HubModel, Publication
from refute.spec.results import Benchmark, BenchmarkResults, RequiredVerdict


class Source(Closed):
    """One file: either at `path`, or the `member` of a wheel named by `package` (`name==version`)."""

    path: str | None = None
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+$")] | None = None
    package_sha256: Sha256 | None = None
    member: str | None = None
    sha256: Sha256

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        packaged = (self.package, self.package_sha256, self.member)
        if (self.path is None) == (self.package is None):
            raise ValueError("name either `path` or `package`, not both and not neither")
        if self.package is not None and None in packaged:
            raise ValueError("a `package` also needs `package_sha256` and `member`")
        return self


class GgufModel(Closed):
    """A quantised model in one GGUF file.

    `runtime` gives a teacher's logits during training: transformers, on weights dequantised to float32 or bfloat16,
    or llama.cpp on the quantised ones (extra `llama`, CPU only). Everything else uses the dequantised weights.
    """

    format: Literal["gguf"]
    source: Source
    runtime: Literal["transformers", "llama.cpp"] = "transformers"


class HfModel(Closed):
    """A Hugging Face model folder: `config.json`, safetensors, tokenizer files."""

    format: Literal["hf"]
    path: str


ModelSource = Annotated[GgufModel | HfModel, Field(discriminator="format")]


class DepthPruned(Closed):
    """An init cut out of the teacher: `keep_layers` of its layers, chosen by held-out loss."""

    method: Literal["depth_prune"]
    keep_layers: Positive
    probe_windows: Positive = 4


class Loaded(Closed):
    """An init that exists already."""

    method: Literal["load"]
    model: ModelSource


class StdlibCorpus(Closed):
    """The running interpreter's standard library, `.py` files in path order, shuffled by `seed`."""

    kind: Literal["python_stdlib"]
    train_tokens: Positive
    heldout_tokens: Positive
    seed: int = 17
    decontaminate_ngram: Positive = 10


class FileCorpus(Closed):
    """Text files below `path` that match `pattern`; split by file. `special_tokens`: what a text that spells special
    tokens becomes, these tokens (where texts are trusted to carry them), a refusal, or their letters."""

    kind: Literal["files"]
    path: str
    pattern: str = "**/*.py"
    special_tokens: Literal["parse", "refuse", "literal"] = "refuse"
    train_tokens: Positive
    heldout_tokens: Positive
    seed: int = 17
    decontaminate_ngram: Positive = 10


class InTransformers(Closed):
    """Models are loaded by transformers, in float32, on the release's device."""

    kind: Literal["transformers"]


class InLlamaCpp(Closed):
    """llama.cpp on the CPU (extra `xllamacpp`) answers from GGUF files made of the models that are compared.

    `teacher` defaults to the release's own, where that is a GGUF file; `student` to the one in F16 that a `publication`
    exports. `slots` samples are computed together; with more than one, greedy samples may differ from run to run.
    """

    kind: Literal["llama.cpp"]
    student: Source | None = None
    init: Source
    teacher: Source | None = None
    slots: Positive = 1


class AtServer(Closed):
    """A server that speaks OpenAI's protocol answers, under these names of the models that are compared.

    `key_variable` names the environment variable that holds its API key. A request is tried `attempts` times, each for
    `timeout_s` at most; `concurrency` are on their way at a time.
    """

    kind: Literal["openai"]
    base_url: Annotated[str, AfterValidator(http_address)]
    student: Annotated[str, Field(min_length=1)]
    init: Annotated[str, Field(min_length=1)]
    teacher: Annotated[str, Field(min_length=1)]
    concurrency: Positive = 8
    attempts: Positive = 16
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    key_variable: Annotated[str, AfterValidator(environment_variable)] | None = None

    @model_validator(mode="after")
    def _three_models(self) -> Self:
        if len({self.student, self.init, self.teacher}) < 3:
            raise ValueError("student, init and teacher are three models: they cannot be served under one name")
        return self


class Sampling(Closed):
    """Several samples of the student a problem, beside its greedy answer.

    Tokens are drawn at `temperature` from the smallest set that reaches `top_p` (Holtzman et al. 2020). The random
    numbers of a sample come of `seed`, problem and sample alone, so whoever knows the three can draw it again.
    """

    samples: Annotated[int, Field(ge=2, le=200)]
    temperature: Annotated[float, Field(gt=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    seed: int = 17


class HumanEval(Closed):
    """How the problems are put to a model and how its answers are executed. Greedy, one sample each; with `sampling`
    the student is asked for more.

    `backend` generates the answers of student, init and teacher; those of the model with random weights, and the few
    that are generated a second time, always come from transformers.
    `system_prompt` is a turn before the user's, part of the protocol; None for no such turn.
    The limits take the first problems only: `limit` for the models, `null_limit` for the model with random
    weights, `calibration_limit` for canned answers (below some 30, no answer right is no longer clearly below 15 %).
    """

    problems: Source
    limit: Positive | None = None
    null_limit: Positive = 40
    calibration_limit: Positive | None = None
    prompt: Literal["chat_primed", "completion"]
    system_prompt: Annotated[str, Field(pattern=r"\S")] | None = None
    max_new_tokens: Positive
    batch_size: Positive
    backend: Annotated[InTransformers | InLlamaCpp | AtServer, Field(discriminator="kind")] = InTransformers(
        kind="transformers"
    )
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    memory_mib: Positive = 512
    minimum_isolation: Literal["rlimits", "seccomp", "bubblewrap"] = "seccomp"
    sampling: Sampling | None = None

    @model_validator(mode="after")
    def _samples_can_be_drawn_again(self) -> Self:
        if self.sampling is not None and self.backend.kind != "transformers":
            raise ValueError(
                f"`sampling` needs the backend transformers: what {self.backend.kind} draws cannot be drawn again"
            )
        return self

    @model_validator(mode="after")
    def _system_prompt_has_a_place(self) -> Self:
        if self.system_prompt is not None and self.prompt == "completion":
            raise ValueError("`system_prompt` needs `prompt: chat_primed`: a bare prompt has no place for it")
        return self


class Limits(Closed):
    """Seconds after which an experiment of each kind is stopped (outcome `timeout`)."""

    prepare_s: Positive = 900
    train_s: Positive = 3600
    humaneval_s: Positive = 1800


Corpus = Annotated[StdlibCorpus | FileCorpus, Field(discriminator="kind")]


class Examined(Closed):
    """What a student is put to, wherever it was trained, and the machine that does it."""

    humaneval: HumanEval
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2
    limits: Limits = Limits()


class Distillation(Examined):
    """A distillation to be run and judged by the built-in engines.

    `processes` train together under torchrun, each with `threads`, or a GPU of its own.
    """

    teacher: ModelSource
    init: Annotated[DepthPruned | Loaded, Field(discriminator="method")]
    corpus: Corpus
    training: Training
    processes: Positive = 1

    @model_validator(mode="after")
    def _files_for_llama_cpp(self) -> Self:
        files = self.gguf_files()
        if files and "teacher" not in files:
            raise ValueError("humaneval.backend.teacher is missing: llama.cpp needs the teacher as a GGUF file")
        if len({source.sha256 for source in files.values()}) < len(files):
            raise ValueError("humaneval.backend: student, init and teacher are three models, in three files")
        return self

    @model_validator(mode="after")
    def _processes_share_a_batch(self) -> Self:
        training, share = self.training, self.training.micro_batch_size * self.processes
        if training.batch_size % share:
            raise ValueError(
                f"training.batch_size is {training.batch_size}, expected a multiple of {share}: "
                f"micro_batch_size ({training.micro_batch_size}) times processes ({self.processes})"
            )
        return self

    def gguf_files(self) -> dict[str, Source]:
        """The files that llama.cpp answers HumanEval from, by teacher, init and student; none with other backends, and
        none of a student that is still to be exported."""
        backend = self.humaneval.backend
        if not isinstance(backend, InLlamaCpp):
            return {}
        own = self.teacher.source if isinstance(self.teacher, GgufModel) else None
        found = {"init": backend.init, "student": backend.student, "teacher": backend.teacher or own}
        return {role: source for role, source in found.items() if source is not None}


RecordFormat = Literal["trainer_state", "jsonl", "tensorboard", "wandb"]


class TrainingRecord(Closed):
    """What a trainer left about its run: a claim. `trainer_state` is Hugging Face's file, `jsonl` one object a step,
    `tensorboard` an event file, or a folder of those of one run, `wandb` the folder of an offline run."""

    format: RecordFormat
    path: str


class FinishedStudent(Examined):
    """A student that somebody else has trained, to be judged by its files.

    With a `corpus` it is scored on held-out text, and beside it the `teacher` and the `init` that are named. How it was
    trained nobody here has seen: `training` is `elsewhere`, or a record that is taken for a claim.
    """

    model: Annotated[GgufModel | HfModel | HubModel, Field(discriminator="format")]
    teacher: ModelSource | None = None
    init: ModelSource | None = None
    corpus: Corpus | None = None
    seq_len: Annotated[int, Field(ge=2)] = 128
    eval_windows: Positive = 24
    training: Literal["elsewhere"] | TrainingRecord = "elsewhere"

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        named = [name for name in ("teacher", "init") if getattr(self, name) is not None]
        if named and self.corpus is None:
            raise ValueError(f"`{named[0]}` needs `corpus`: it is compared with the student on held-out text")
        if self.humaneval.backend.kind != "transformers":
            raise ValueError("humaneval.backend: a finished student answers in transformers")
        return self

    def models(self) -> dict[str, ModelSource]:
        """The models that are here, by what they are to each other."""
        here = None if isinstance(self.model, HubModel) else self.model
        found = {"model": here, "teacher": self.teacher, "init": self.init}
        return {name: model for name, model in found.items() if model is not None}


# For people: nothing that loads a model reads it.
Page = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*\.md|(LICENSE|NOTICE)(\.txt)?)$")]


class Release(Closed):
    """One thing to be judged; with `dogfood`, refute itself on that device. `evidence`: files of one's own; `results`:
    what other tools have measured; `baseline`: the verdict with whose student this one is compared.
    `valid_days`: how long after it was made a verdict may be relied upon. `may_be_added`: pages that may be laid beside
    the subject's files at publication, and leave it the model that was judged.
    """

    release: ReleaseId
    title: str
    run_class: RunClass
    operator: str = "unnamed"
    specs: tuple[str, ...] = ()
    subject: str | None = None
    valid_days: Annotated[int, Field(ge=1, le=366)] = 90
    may_be_added: tuple[Page, ...] = ()
    evidence: dict[str, str] = Field(default={})
    distillation: Distillation | None = None
    student: FinishedStudent | None = None
    results: dict[Benchmark, BenchmarkResults] = Field(default={})
    publication: Publication | None = None
    dogfood: Literal["cpu", "cuda"] | None = None
    requires_verdict: tuple[RequiredVerdict, ...] = ()
    baseline: RequiredVerdict | None = None

    @property
    def demanded_verdicts(self) -> tuple[RequiredVerdict, ...]:
        """On whatever must have been judged GO before."""
        return self.requires_verdict if self.baseline is None else (*self.requires_verdict, self.baseline)

    @model_validator(mode="after")
    def _something_to_judge(self) -> Self:
        if not (self.evidence or self.results or self.distillation or self.student or self.dogfood):
            raise ValueError("name `evidence`, `results`, `distillation`, `student` or `dogfood`: nothing to judge")
        if self.distillation is not None and self.student is not None:
            raise ValueError(
                "`distillation` makes a student, and `student` names one that is finished: name one of both"
            )
        if self.publication is not None and self.distillation is None:
            raise ValueError("`publication` needs `distillation`: what is published is the student")
        for name, path in self.evidence.items():
            if PurePosixPath(path).is_absolute():
                raise ValueError(f"evidence.{name}: {path!r} must be relative to the release file")
        demanded = [each.release for each in self.demanded_verdicts]
        if self.release in demanded or len(set(demanded)) != len(demanded):
            raise ValueError("requires_verdict and baseline name this release itself, or another one twice")
        return self
