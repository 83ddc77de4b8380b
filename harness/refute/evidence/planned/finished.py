"""The plan of a student that somebody else has trained: a table with one row an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from refute.errors import UsageError
from refute.evidence.experiment import Experiment, Locate, TakenFiles
from refute.evidence.planned import configurations
from refute.evidence.planned.configurations import Grounds, from_evidence, original, problems_path
from refute.evidence.planned.distillation import Kind, Row, experiments_of
from refute.evidence.sources import identity_of, located_corpus, located_file, located_folder, located_model
from refute.spec.experiments import distill, finished, humaneval
from refute.spec.experiments import evidence_files as names
from refute.spec.publication import HubModel
from refute.spec.release import (
    FileCorpus,
    FinishedStudent,
    GgufModel,
    HfModel,
    ModelSource,
    StdlibCorpus,
    TrainingRecord,
)


@dataclass(frozen=True, slots=True)
class Finished(Grounds):
    """What configurations of a finished student are made of."""

    release: FinishedStudent

    @property
    def scored(self) -> bool:
        """Whether there is held-out text."""
        return self.release.corpus is not None

    @property
    def taught(self) -> bool:
        """Whether a teacher is named."""
        return self.release.teacher is not None

    @property
    def begun(self) -> bool:
        """Whether an init is named."""
        return self.release.init is not None

    @property
    def quantised(self) -> bool:
        """Whether the teacher is dequantised once, by an experiment, before others load it."""
        return isinstance(self.release.teacher, GgufModel)


_UNPLANNED = "an experiment was planned without the part of the release that it is about"


def _named(model: ModelSource | None) -> ModelSource:
    if model is None:
        raise ValueError(_UNPLANNED)
    return model


def _text(parts: Finished) -> StdlibCorpus | FileCorpus:
    if parts.release.corpus is None:
        raise ValueError(_UNPLANNED)
    return parts.release.corpus


def _opened(parts: Finished, _at: Locate) -> finished.OpenConfig:
    model = parts.release.model
    return finished.OpenConfig(model=HfModel(format="hf", path="model") if isinstance(model, HubModel) else model)


def _init(parts: Finished, at: Locate) -> finished.OpenConfig:
    model = _named(parts.release.init)
    return finished.OpenConfig(model=model, path=at(located_model(model, parts.base)))


def _lint(parts: Finished, _at: Locate) -> finished.LintConfig:
    return finished.LintConfig(format="gguf" if isinstance(parts.release.model, GgufModel) else "hf")


def _dequantise(parts: Finished, at: Locate) -> distill.DequantiseConfig:
    return distill.DequantiseConfig(teacher=_original(parts, at))


def _original(parts: Finished, at: Locate) -> distill.TeacherPlace:
    return original(_named(parts.release.teacher), parts.base, at)


def _teacher(parts: Finished, at: Locate) -> distill.TeacherPlace:
    return from_evidence(names.TEACHER, at) if parts.quantised else _original(parts, at)


def _corpus(parts: Finished, at: Locate) -> distill.CorpusConfig:
    declared = _text(parts)
    return distill.CorpusConfig(
        corpus=declared,
        path=configurations.corpus_path(declared, parts.base, at),
        seq_len=parts.release.seq_len,
        problems_path=problems_path(parts, at),
        tokenizer=_TOKENIZER,
    )


_TOKENIZER = distill.EvidenceTokenizer(kind="evidence", name=names.STUDENT_OPENED)


def _contamination(parts: Finished, at: Locate) -> distill.OverlapConfig:
    return distill.OverlapConfig(problems_path=problems_path(parts, at), tokenizer=_TOKENIZER)


def _corpus_audit(parts: Finished, at: Locate) -> distill.CorpusAuditConfig:
    declared = _text(parts)
    return distill.CorpusAuditConfig(
        corpus=declared,
        path=configurations.corpus_path(declared, parts.base, at),
        problems_path=problems_path(parts, at),
        tokenizer=from_evidence(names.STUDENT_OPENED, at),
    )


def _lineage(parts: Finished, at: Locate) -> distill.LineageConfig:
    return distill.LineageConfig(teacher=_original(parts, at), compared="student_opened")


def _teacher_probe(parts: Finished, at: Locate) -> distill.ProbeConfig:
    return distill.ProbeConfig(
        teacher=_teacher(parts, at),
        reference=_original(parts, at),
        device=parts.release.device,
        threads=parts.release.threads,
    )


def _heldout(parts: Finished, at: Locate) -> finished.HeldoutConfig:
    return finished.HeldoutConfig(
        windows=parts.release.eval_windows,
        teacher=_teacher(parts, at) if parts.taught else None,
        init=parts.begun,
        device=parts.release.device,
        threads=parts.release.threads,
    )


def _record(parts: Finished, at: Locate) -> finished.RecordConfig:
    declared = parts.release.training
    if not isinstance(declared, TrainingRecord):
        raise ValueError(_UNPLANNED)
    path = parts.base / Path(declared.path).expanduser()
    return finished.RecordConfig(format=declared.format, path=at(located_folder(path)))


def _calibration(parts: Finished, at: Locate) -> humaneval.CalibrateConfig:
    return humaneval.CalibrateConfig(humaneval=configurations.settings(parts), problems_path=problems_path(parts, at))


Ask = Callable[[Finished, Locate], humaneval.EvaluateConfig]


def _asked(name: str, model: Callable[[Finished, Locate], humaneval.ModelChoice]) -> Ask:
    return lambda parts, at: configurations.evaluation(parts, at, name, model(parts, at), None)


def _evidence(name: str) -> Callable[[Finished, Locate], humaneval.ModelChoice]:
    return lambda _parts, _at: humaneval.EvidenceModel(kind="evidence", name=name)


def _teacher_model(parts: Finished, at: Locate) -> humaneval.ModelChoice:
    place = _teacher(parts, at)
    return humaneval.SourceModel(kind="source", model=place.model, path=place.path)


def _ask_null(parts: Finished, at: Locate) -> humaneval.EvaluateConfig:
    model = humaneval.RandomModel(kind="random", name=names.STUDENT_OPENED, layers=2, seed=17)
    found = configurations.evaluation(parts, at, names.HUMANEVAL_NULL, model, None)
    return found.model_copy(update={"limit": parts.release.humaneval.null_limit})


_ask_student = _asked(names.HUMANEVAL_STUDENT, _evidence(names.STUDENT_OPENED))


def _ask_sampled(parts: Finished, at: Locate) -> humaneval.EvaluateConfig:
    return configurations.sampled(parts, _ask_student(parts, at))


_ask_init = _asked(names.HUMANEVAL_INIT, _evidence(names.INIT))
_ask_teacher = _asked(names.HUMANEVAL_TEACHER, _teacher_model)


def _again(name: str, ask: Ask) -> Callable[[Finished, Locate], humaneval.ReplayConfig]:
    return lambda parts, at: configurations.replay(parts, at, name, ask(parts, at))


_EVALUATE, _REPLAY = "experiments.evaluate:evaluate", "experiments.replay:replay"
_FINISHED = "experiments.finished"

Planned = Callable[[Finished], bool]
Asked = tuple[str, str, str, str, Ask, Planned]

# By evidence and that of its replay: whose answers, the evidence of the model, how it is asked, whether it is named.
_ASKED: tuple[Asked, ...] = (
    (
        *(names.HUMANEVAL_TEACHER, names.HUMANEVAL_REPLAY_TEACHER, "the teacher", names.TEACHER),
        _ask_teacher,
        lambda parts: parts.taught,
    ),
    (
        *(names.HUMANEVAL_INIT, names.HUMANEVAL_REPLAY_INIT, "the init", names.INIT),
        _ask_init,
        lambda parts: parts.begun,
    ),
    (
        *(names.HUMANEVAL_STUDENT, names.HUMANEVAL_REPLAY_STUDENT, "the student", names.STUDENT_OPENED),
        _ask_student,
        lambda _parts: True,
    ),
    (
        *(names.HUMANEVAL_SAMPLED, names.HUMANEVAL_REPLAY_SAMPLED, "the student, several samples a problem"),
        names.STUDENT_OPENED,
        _ask_sampled,
        configurations.is_sampled,
    ),
    (
        *(names.HUMANEVAL_NULL, names.HUMANEVAL_REPLAY_NULL, "random weights", names.STUDENT_OPENED),
        _ask_null,
        lambda _parts: True,
    ),
)


def _answering(name: str, replay: str, whose: str, model: str, ask: Ask, planned: Planned) -> Iterator[Row[Finished]]:
    """A model answers, and some of its answers are made again."""
    title = f"make and execute some answers of {whose} again"
    yield Row(name, f"HumanEval on {whose}", Kind.HUMANEVAL, _EVALUATE, (model,), ask, planned)
    yield Row(replay, title, Kind.HUMANEVAL, _REPLAY, (model, name), _again(name, ask), planned)


ROWS: tuple[Row[Finished], ...] = (
    Row(
        names.STUDENT_OPENED,
        "open the student's files",
        Kind.PREPARE,
        f"{_FINISHED}:open_model_files",
        (names.STUDENT,),
        _opened,
    ),
    Row(
        names.STUDENT_LINT,
        "look for what breaks at a stranger's",
        Kind.PREPARE,
        f"{_FINISHED}:lint_student",
        (names.STUDENT,),
        _lint,
    ),
    Row(
        names.TEACHER,
        "obtain and dequantise the teacher",
        Kind.PREPARE,
        "experiments.teacher:dequantise",
        (),
        _dequantise,
        lambda parts: parts.quantised,
    ),
    Row(
        names.INIT,
        "open the files of the init",
        Kind.PREPARE,
        f"{_FINISHED}:open_model_files",
        (),
        _init,
        lambda parts: parts.begun,
    ),
    Row(
        names.CORPUS,
        "tokenise, split and decontaminate the corpus",
        Kind.PREPARE,
        "data.corpus:build_corpus",
        (names.STUDENT_OPENED,),
        _corpus,
        lambda parts: parts.scored,
    ),
    Row(
        names.CONTAMINATION,
        "look for the benchmark in the tokens of the corpus",
        Kind.PREPARE,
        "experiments.contamination:measure_overlap",
        (names.STUDENT_OPENED, names.CORPUS),
        _contamination,
        lambda parts: parts.scored,
    ),
    Row(
        names.CORPUS_AUDIT,
        "look for the corpus in its files",
        Kind.PREPARE,
        "experiments.corpus_audit:audit_corpus",
        (names.STUDENT_OPENED, names.CORPUS),
        _corpus_audit,
        lambda parts: parts.scored,
    ),
    Row(
        names.HELDOUT_PLACES,
        "cut the held-out files again",
        Kind.REDO,
        "heldout_places:place_heldout",
        (names.STUDENT_OPENED, names.CORPUS),
        _corpus_audit,
        lambda parts: parts.scored,
    ),
    Row(
        names.LINEAGE,
        "identify teacher and student",
        Kind.PREPARE,
        "experiments.teacher:lineage",
        (names.STUDENT_OPENED,),
        _lineage,
        lambda parts: parts.taught,
    ),
    Row(
        names.TEACHER_PROBE,
        "compare the teacher's logits with an independent forward",
        Kind.PREPARE,
        "experiments.teacher:probe_teacher",
        (names.TEACHER, names.CORPUS),
        _teacher_probe,
        lambda parts: parts.taught,
    ),
    Row(
        names.STUDENT_HELDOUT,
        "score student, init and teacher on held-out text",
        Kind.PREPARE,
        f"{_FINISHED}:score_finished",
        (names.STUDENT_OPENED, names.CORPUS, names.TEACHER, names.INIT),
        _heldout,
        lambda parts: parts.scored,
    ),
    Row(
        names.TRAINING_RECORD,
        "take in what the trainer claims",
        Kind.PREPARE,
        "experiments.training_record:import_record",
        (),
        _record,
        lambda parts: parts.release.training != "elsewhere",
    ),
    Row(
        names.HUMANEVAL_CALIBRATION,
        "score canned answers: right, empty, forged, endless",
        Kind.HUMANEVAL,
        "experiments.evaluate:calibrate",
        (),
        _calibration,
    ),
    *chain.from_iterable(_answering(*each) for each in _ASKED),
)


def finished_experiments(
    student: FinishedStudent, base: Path, error_shares: Mapping[str, float]
) -> Iterator[Experiment]:
    """The experiments of a finished student: its files taken in as they are, and what is measured on them.

    Raises UsageError where student and teacher, or student and init, are one model.
    """
    parts = Finished(student, base, error_shares)
    own = student.model
    for name, model in student.models().items():
        if name != "model" and not isinstance(own, HubModel) and identity_of(model, base) == identity_of(own, base):
            raise UsageError(f"student.{name} is the student itself: nothing would differ", hint="name another model")
    yield _the_student(own, base)
    yield from experiments_of(ROWS, parts)


def _the_student(model: HubModel | ModelSource, base: Path) -> Experiment:
    """Its files as they are, from here or from a hub."""
    if isinstance(model, HubModel):
        entry = f"{Kind.PREPARE.engine}.{_FINISHED}:fetch_student"
        return Experiment(names.STUDENT, "fetch the student", entry, lambda _at: finished.FetchConfig(model=model))
    place = located_model(model, base)
    return Experiment(names.STUDENT, "take in the student", None, lambda at: TakenFiles(path=at(place), into="model"))


def finished_inputs(student: FinishedStudent, base: Path) -> Mapping[str, str]:
    """SHA-256 of what a finished student is judged with, by its place in the release."""
    found = {f"student.{name}": located_model(model, base).digest() for name, model in student.models().items()}
    if isinstance(student.model, HubModel):
        found["student.model"] = f"{student.model.repo}@{student.model.commit}"
    found["student.humaneval.problems"] = located_file(student.humaneval.problems, base).digest()
    if student.corpus is not None:
        found["student.corpus"] = located_corpus(student.corpus, base).digest()
    if isinstance(student.training, TrainingRecord):
        found["student.training"] = located_folder(base / Path(student.training.path).expanduser()).digest()
    return found
