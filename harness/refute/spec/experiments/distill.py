"""Configurations of the distillation experiments, and of `refute distill`; every path is one on this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.training import DivergenceName, Training
from refute.spec.fields import Closed, Positive
from refute.spec.release import DepthPruned, FileCorpus, Loaded, ModelSource, StdlibCorpus

# Positions of each probed window whose logits are kept as evidence; the figures cover all of them.
KEPT_POSITIONS = 8
TrainingName = Literal["student", "ce_control"]


class TeacherPlace(Closed):
    """A model source and where it was found."""

    model: ModelSource
    path: str


class TopKPlace(Closed):
    """A folder of top-k teacher entries made by `refute distill prepare`."""

    topk: str


class DequantiseConfig(Closed):
    """What enters `dequantise`."""

    teacher: TeacherPlace


class EvidenceTokenizer(Closed):
    """The tokenizer in `model/` of another experiment's evidence."""

    kind: Literal["evidence"]
    name: str


class SourceTokenizer(Closed):
    """The tokenizer of a model at a resolved path."""

    kind: Literal["source"]
    model: ModelSource
    path: str


Tokenizer = Annotated[EvidenceTokenizer | SourceTokenizer, Field(discriminator="kind")]


class CorpusConfig(Closed):
    """What enters `build_corpus`. `path` is the folder of a `files` corpus; `problems_path` its benchmark."""

    corpus: Annotated[StdlibCorpus | FileCorpus, Field(discriminator="kind")]
    path: str | None
    seq_len: Annotated[int, Field(ge=2)]
    problems_path: str
    tokenizer: Tokenizer


class OverlapConfig(Closed):
    """What enters `measure_overlap`: the tokenizer that the corpus was made with, and the benchmark."""

    problems_path: str
    tokenizer: Tokenizer


class CorpusAuditConfig(Closed):
    """What enters `audit_corpus` and `place_heldout`: the corpus as declared, its place, its benchmark, and whose
    tokenizer made it."""

    corpus: Annotated[StdlibCorpus | FileCorpus, Field(discriminator="kind")]
    path: str | None
    problems_path: str
    tokenizer: TeacherPlace
    windows: Positive = 128


class InitConfig(Closed):
    """What enters `build_init`. `init_path` is the resolved place of a loaded one.

    Layers are chosen on `probe_windows` held-out windows after the first `skip_windows`: those judge the
    trained model, so they must not have chosen it.
    """

    init: Annotated[DepthPruned | Loaded, Field(discriminator="method")]
    teacher: TeacherPlace
    init_path: str | None
    probe_windows: Positive
    skip_windows: Annotated[int, Field(ge=0)]
    device: Literal["cpu", "cuda"]
    threads: Positive


class LineageConfig(Closed):
    """What enters `lineage`: the teacher, and the evidence whose model is compared with it, as the init."""

    teacher: TeacherPlace
    compared: Literal["init", "student_opened"] = "init"


class ProbeConfig(Closed):
    """What enters `probe_teacher`: the first `tokens` ids of the first `windows` held-out windows.

    `teacher` is what supervises the student, `reference` the file or folder that the release names.
    """

    teacher: TeacherPlace
    reference: TeacherPlace
    windows: Positive = 2
    tokens: Annotated[int, Field(ge=KEPT_POSITIONS)] = 32
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2


class MathConfig(Closed):
    """What enters `check_kd_math`."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2
    dtype: Literal["float32", "bfloat16"] = "float32"
    divergence: DivergenceName = "forward_kl"
    beta: float | None = None


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


class StudentAuditConfig(Closed):
    """What enters `audit_student`: the evidence of the run whose files are scored, and its declared training."""

    run: TrainingName
    training: Training


class RedoConfig(Closed):
    """What enters `redo_training`: the evidence of the run whose steps are redone, and how the release declares it."""

    run: TrainingName
    training: Training
    teacher: TeacherPlace
    processes: Positive = 1
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Positive = 2
