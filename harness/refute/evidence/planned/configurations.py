"""The configuration of each built-in experiment, from the parts of a release: the models that the engines parse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.evidence.experiment import FromEvidence, Locate
from refute.evidence.planned.humaneval_backend import backend_of
from refute.evidence.sources import located_file, located_folder, located_model
from refute.spec.bars.sequential import Design
from refute.spec.experiments import distill, humaneval
from refute.spec.experiments import evidence_files as names
from refute.spec.experiments.evidence.humaneval import Boundary, SequentialRule
from refute.spec.experiments.training import Training
from refute.spec.release import (
    DepthPruned,
    Distillation,
    Examined,
    FileCorpus,
    GgufModel,
    HfModel,
    HumanEval,
    Loaded,
    ModelSource,
    StdlibCorpus,
)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What configurations are made of: what a student is put to, the folder of its release file, and which share of
    problems may have no verdict, by evidence."""

    release: Examined
    base: Path
    error_shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Parts(Grounds):
    """Those of a distillation, and the sequential test that specs demand of its student."""

    release: Distillation
    sequential: Design | None

    @property
    def quantised(self) -> bool:
        """Whether the teacher is dequantised once, by an experiment, before others load it."""
        return isinstance(self.release.teacher, GgufModel)


def dequantise(parts: Parts, at: Locate) -> distill.DequantiseConfig:
    """The teacher as the release names it."""
    return distill.DequantiseConfig(teacher=_original(parts, at))


def corpus(parts: Parts, at: Locate) -> distill.CorpusConfig:
    """The corpus in windows of the training's length, by the teacher's tokenizer."""
    return distill.CorpusConfig(
        corpus=parts.release.corpus,
        path=corpus_path(parts.release.corpus, parts.base, at),
        seq_len=parts.release.training.seq_len,
        problems_path=problems_path(parts, at),
        tokenizer=_tokenizer(parts, at),
    )


def contamination(parts: Parts, at: Locate) -> distill.OverlapConfig:
    """The tokenizer of the corpus, and the benchmark that is looked for."""
    return distill.OverlapConfig(problems_path=problems_path(parts, at), tokenizer=_tokenizer(parts, at))


def init(parts: Parts, at: Locate) -> distill.InitConfig:
    """How the init is made, on windows that do not judge the trained model."""
    declared, release = parts.release.init, parts.release
    return distill.InitConfig(
        init=declared,
        teacher=_teacher(parts, at),
        init_path=at(located_model(declared.model, parts.base)) if isinstance(declared, Loaded) else None,
        probe_windows=declared.probe_windows if isinstance(declared, DepthPruned) else 1,
        skip_windows=release.training.eval_windows,
        device=release.device,
        threads=release.threads,
    )


def lineage(parts: Parts, at: Locate) -> distill.LineageConfig:
    """The teacher as the release names it."""
    return distill.LineageConfig(teacher=_original(parts, at))


def teacher_probe(parts: Parts, at: Locate) -> distill.ProbeConfig:
    """What supervises, against the file or folder that the release names."""
    return distill.ProbeConfig(
        teacher=_teacher(parts, at),
        reference=_original(parts, at),
        windows=2,
        tokens=32,
        device=parts.release.device,
        threads=parts.release.threads,
    )


def kd_math(parts: Parts, _at: Locate) -> distill.MathConfig:
    """The loss as the run computes it."""
    release = parts.release
    training = release.training
    return distill.MathConfig(
        dtype=training.dtype,
        divergence=training.divergence,
        beta=training.beta,
        device=release.device,
        threads=release.threads,
    )


def corpus_audit(parts: Parts, at: Locate) -> distill.CorpusAuditConfig:
    """What `corpus` was told, to be found by other means."""
    return distill.CorpusAuditConfig(
        corpus=parts.release.corpus,
        path=corpus_path(parts.release.corpus, parts.base, at),
        problems_path=problems_path(parts, at),
        tokenizer=_teacher(parts, at),
    )


def student(parts: Parts, at: Locate) -> distill.TrainConfig:
    """The training as declared."""
    return _training(parts, at, parts.release.training)


def ce_control(parts: Parts, at: Locate) -> distill.TrainConfig:
    """The student's training with the teacher's weight set to 0, and nothing else changed."""
    return _training(parts, at, _without_teacher(parts))


def student_audit(parts: Parts, _at: Locate) -> distill.StudentAuditConfig:
    """What `student` was told, for the files that it left."""
    return distill.StudentAuditConfig(run=names.STUDENT, training=parts.release.training)


def student_redo(parts: Parts, at: Locate) -> distill.RedoConfig:
    """What `student` was told, to be done over by other means."""
    return _redo(parts, at, names.STUDENT, parts.release.training)


def ce_control_audit(parts: Parts, _at: Locate) -> distill.StudentAuditConfig:
    """What `ce_control` was told, for the files that it left."""
    return distill.StudentAuditConfig(run=names.CE_CONTROL, training=_without_teacher(parts))


def ce_control_redo(parts: Parts, at: Locate) -> distill.RedoConfig:
    """What `ce_control` was told, to be done over by other means."""
    return _redo(parts, at, names.CE_CONTROL, _without_teacher(parts))


def humaneval_calibration(parts: Parts, at: Locate) -> humaneval.CalibrateConfig:
    """The scorer's settings; nobody answers."""
    return humaneval.CalibrateConfig(humaneval=settings(parts), problems_path=problems_path(parts, at))


def humaneval_teacher(parts: Parts, at: Locate) -> humaneval.EvaluateConfig:
    """The teacher answers."""
    place = _teacher(parts, at)
    model = humaneval.SourceModel(kind="source", model=place.model, path=place.path)
    return evaluation(parts, at, names.HUMANEVAL_TEACHER, model, backend_of(parts.release, "teacher", parts.base, at))


def humaneval_init(parts: Parts, at: Locate) -> humaneval.EvaluateConfig:
    """The init answers."""
    model = humaneval.EvidenceModel(kind="evidence", name=names.INIT)
    return evaluation(parts, at, names.HUMANEVAL_INIT, model, backend_of(parts.release, "init", parts.base, at))


def humaneval_student(parts: Parts, at: Locate) -> humaneval.EvaluateConfig:
    """The student answers."""
    model = humaneval.EvidenceModel(kind="evidence", name=names.STUDENT)
    return evaluation(parts, at, names.HUMANEVAL_STUDENT, model, backend_of(parts.release, "student", parts.base, at))


def humaneval_sampled(parts: Parts, at: Locate) -> humaneval.EvaluateConfig:
    """The student answers several times."""
    return sampled(parts, humaneval_student(parts, at))


def humaneval_null(parts: Parts, at: Locate) -> humaneval.EvaluateConfig:
    """Random weights answer, a few problems, always in transformers."""
    model = humaneval.RandomModel(kind="random", name=names.INIT, layers=2, seed=17)
    found = evaluation(parts, at, names.HUMANEVAL_NULL, model, None)
    return found.model_copy(update={"limit": parts.release.humaneval.null_limit})


def humaneval_sequential(parts: Parts, at: Locate) -> humaneval.UntilDecidedConfig:
    """The student answers until the test of the specs has decided; only planned where they declare one."""
    design, whole = parts.sequential, humaneval_student(parts, at)
    if design is None:
        raise ValueError(f"{names.HUMANEVAL_SEQUENTIAL} was planned without a sequential test")
    rule = SequentialRule(
        bar=design.bar,
        error_rate=design.error_rate,
        spending=design.spending,
        looks=design.looks,
        seed=design.seed,
        boundaries=tuple(
            Boundary(n=look.n, stop_at_most=look.stop_at_most, stop_at_least=look.stop_at_least)
            for look in design.boundaries()
        ),
    )
    return humaneval.UntilDecidedConfig(
        model=whole.model,
        humaneval=whole.humaneval,
        problems_path=whole.problems_path,
        backend=whole.backend,
        device=whole.device,
        threads=whole.threads,
        limit=whole.limit,
        allowed_error_share=parts.error_shares.get(names.HUMANEVAL_SEQUENTIAL, 0.0),
        sequential=rule,
    )


def humaneval_replay_teacher(parts: Parts, at: Locate) -> humaneval.ReplayConfig:
    """The teacher's answers again."""
    return replay(parts, at, names.HUMANEVAL_TEACHER, humaneval_teacher(parts, at))


def humaneval_replay_init(parts: Parts, at: Locate) -> humaneval.ReplayConfig:
    """The init's answers again."""
    return replay(parts, at, names.HUMANEVAL_INIT, humaneval_init(parts, at))


def humaneval_replay_student(parts: Parts, at: Locate) -> humaneval.ReplayConfig:
    """The student's answers again."""
    return replay(parts, at, names.HUMANEVAL_STUDENT, humaneval_student(parts, at))


def humaneval_replay_sampled(parts: Parts, at: Locate) -> humaneval.ReplayConfig:
    """The student's samples again."""
    return replay(parts, at, names.HUMANEVAL_SAMPLED, humaneval_sampled(parts, at))


def humaneval_replay_null(parts: Parts, at: Locate) -> humaneval.ReplayConfig:
    """The answers of random weights again."""
    return replay(parts, at, names.HUMANEVAL_NULL, humaneval_null(parts, at))


def memorisation(parts: Parts, at: Locate) -> humaneval.MemorisationConfig:
    """Teacher, init and student, and the benchmark's reference solutions."""
    place, limit = _teacher(parts, at), parts.release.humaneval.limit
    return humaneval.MemorisationConfig(
        teacher=humaneval.SourceModel(kind="source", model=place.model, path=place.path),
        init=humaneval.EvidenceModel(kind="evidence", name=names.INIT),
        student=humaneval.EvidenceModel(kind="evidence", name=names.STUDENT),
        problems_path=problems_path(parts, at),
        tasks_at_most=humaneval.MEMORISED if limit is None else max(humaneval.TAUGHT, min(humaneval.MEMORISED, limit)),
        device=parts.release.device,
        threads=parts.release.threads,
    )


def original(model: ModelSource, base: Path, at: Locate) -> distill.TeacherPlace:
    """A model as the release names it."""
    return distill.TeacherPlace(model=model, path=at(located_model(model, base)))


def from_evidence(name: str, at: Locate) -> distill.TeacherPlace:
    """The model folder of the evidence `name`."""
    return distill.TeacherPlace(model=HfModel(format="hf", path="model"), path=at(FromEvidence(name, "model")))


def _original(parts: Parts, at: Locate) -> distill.TeacherPlace:
    return original(parts.release.teacher, parts.base, at)


def _teacher(parts: Parts, at: Locate) -> distill.TeacherPlace:
    """The teacher as most load it: transformers takes seconds to minutes over a GGUF, so it is dequantised once."""
    return from_evidence(names.TEACHER, at) if parts.quantised else _original(parts, at)


def _supervisor(parts: Parts, at: Locate) -> distill.TeacherPlace:
    """The teacher as training asks it: llama.cpp wants the quantised file itself."""
    model = parts.release.teacher
    native = isinstance(model, GgufModel) and model.runtime == "llama.cpp"
    return _original(parts, at) if native else _teacher(parts, at)


def _tokenizer(parts: Parts, at: Locate) -> distill.SourceTokenizer:
    place = _teacher(parts, at)
    return distill.SourceTokenizer(kind="source", model=place.model, path=place.path)


def corpus_path(declared: StdlibCorpus | FileCorpus, base: Path, at: Locate) -> str | None:
    """Where the files of a corpus are, None for the library of the interpreter."""
    if not isinstance(declared, FileCorpus):
        return None
    return at(located_folder(base / Path(declared.path).expanduser()))


def problems_path(parts: Grounds, at: Locate) -> str:
    """Where the benchmark's problems are."""
    return at(located_file(parts.release.humaneval.problems, parts.base))


def settings(parts: Grounds) -> HumanEval:
    """How problems are put and executed, whoever answers them: the backend is stated apart, by model, and sampling
    where samples are drawn."""
    return HumanEval.model_validate(parts.release.humaneval.model_dump(exclude={"backend", "sampling"}))


def _training(parts: Parts, at: Locate, training: Training) -> distill.TrainConfig:
    release = parts.release
    return distill.TrainConfig(
        training=training,
        teacher=_supervisor(parts, at),
        init=at(FromEvidence(names.INIT, "model")),
        corpus=at(FromEvidence(names.CORPUS, "")),
        budget_hours=release.limits.train_s / 3600,
        processes=release.processes,
        device=release.device,
        threads=release.threads,
    )


def _without_teacher(parts: Parts) -> Training:
    declared = parts.release.training.model_dump()
    return Training.model_validate({**declared, "ce_weight": 1.0, "kd_weight": 0.0})


def _redo(parts: Parts, at: Locate, run: distill.TrainingName, training: Training) -> distill.RedoConfig:
    release = parts.release
    return distill.RedoConfig(
        run=run,
        training=training,
        teacher=_supervisor(parts, at),
        processes=release.processes,
        device=release.device,
        threads=release.threads,
    )


def evaluation(
    parts: Grounds, at: Locate, name: str, model: humaneval.ModelChoice, backend: humaneval.Backend | None
) -> humaneval.EvaluateConfig:
    """`model` answers all problems that the release puts; the evidence is called `name`."""
    return humaneval.EvaluateConfig(
        model=model,
        humaneval=settings(parts),
        backend=backend,
        problems_path=problems_path(parts, at),
        limit=parts.release.humaneval.limit,
        allowed_error_share=parts.error_shares.get(name, 0.0),
        device=parts.release.device,
        threads=parts.release.threads,
    )


def sampled(parts: Grounds, asked: humaneval.EvaluateConfig) -> humaneval.EvaluateConfig:
    """As `asked`, but that samples are drawn as the release says; only planned where it does."""
    drawn = asked.humaneval.model_copy(update={"sampling": parts.release.humaneval.sampling})
    share = parts.error_shares.get(names.HUMANEVAL_SAMPLED, 0.0)
    return asked.model_copy(update={"humaneval": drawn, "allowed_error_share": share})


def is_sampled(parts: Grounds) -> bool:
    """Whether the student is asked for several samples a problem."""
    return parts.release.humaneval.sampling is not None


def replay(parts: Grounds, at: Locate, run: str, asked: humaneval.EvaluateConfig) -> humaneval.ReplayConfig:
    """What `asked` was told, for whoever makes the answers of `run` again: always in transformers."""
    return humaneval.ReplayConfig(
        model=asked.model,
        run=run,
        humaneval=asked.humaneval,
        problems_path=problems_path(parts, at),
        limit=asked.limit,
        backend=asked.backend.kind if asked.backend else "transformers",
        device=parts.release.device,
        threads=parts.release.threads,
    )
