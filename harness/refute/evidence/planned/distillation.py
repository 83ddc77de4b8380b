"""The plan of a distillation: a table with one row an experiment. A new experiment is a new row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from refute.errors import UsageError
from refute.evidence.experiment import Experiment, Locate
from refute.evidence.planned import configurations
from refute.evidence.planned.configurations import Grounds, Parts
from refute.evidence.planned.humaneval_backend import answers_from_export, key_variables
from refute.evidence.sources import identity_of
from refute.spec.experiments import evidence_files as names
from refute.spec.fields import Closed
from refute.spec.release import Distillation, Limits, Loaded


class Kind(Enum):
    """What an experiment does, which names its engine and its time limit."""

    PREPARE = "prepare"
    TRAIN = "train"
    REDO = "redo"
    HUMANEVAL = "humaneval"

    @property
    def engine(self) -> str:
        """The package that its function lies in."""
        return {Kind.HUMANEVAL: "refute.engines.humaneval", Kind.REDO: "refute.auditors"}.get(
            self, "refute.engines.distill"
        )

    def limit_s(self, limits: Limits) -> int:
        """Seconds after which one is stopped."""
        return {
            Kind.PREPARE: limits.prepare_s,
            Kind.TRAIN: limits.train_s,
            Kind.REDO: limits.train_s,
            Kind.HUMANEVAL: limits.humaneval_s,
        }[self]


AnyParts = TypeVar("AnyParts", bound=Grounds)


@dataclass(frozen=True, slots=True)
class Row(Generic[AnyParts]):
    """One experiment: its name, what a console calls it, its function in the engine, the evidence that it builds on.

    `configure` makes its configuration. Where `planned` says no, the release has no such experiment, and nobody who
    needs it waits for it.
    """

    name: str
    title: str
    kind: Kind
    function: str
    needs: tuple[str, ...]
    configure: Callable[[AnyParts, Locate], Closed]
    planned: Callable[[AnyParts], bool] = lambda _parts: True

    @property
    def entry(self) -> str:
        """Its function, as `module:function`."""
        return f"{self.kind.engine}.{self.function}"


def _is_sequential(parts: Parts) -> bool:
    return parts.sequential is not None


ROWS = (
    Row(
        names.TEACHER,
        "obtain and dequantise the teacher",
        Kind.PREPARE,
        "experiments.teacher:dequantise",
        (),
        configurations.dequantise,
        lambda parts: parts.quantised,
    ),
    Row(
        names.CORPUS,
        "tokenise, split and decontaminate the corpus",
        Kind.PREPARE,
        "data.corpus:build_corpus",
        (names.TEACHER,),
        configurations.corpus,
    ),
    Row(
        names.CONTAMINATION,
        "look for the benchmark in the tokens that are trained on",
        Kind.PREPARE,
        "experiments.contamination:measure_overlap",
        (names.TEACHER, names.CORPUS),
        configurations.contamination,
    ),
    Row(
        names.INIT,
        "make the student's initial checkpoint",
        Kind.PREPARE,
        "experiments.init:build_init",
        (names.TEACHER, names.CORPUS),
        configurations.init,
    ),
    Row(
        names.INIT_REDO,
        "hold the init against its source, and choose its layers again",
        Kind.REDO,
        "init_redo:redo_init",
        (names.TEACHER, names.CORPUS, names.INIT),
        configurations.init,
    ),
    Row(
        names.LINEAGE,
        "identify teacher and init",
        Kind.PREPARE,
        "experiments.teacher:lineage",
        (names.INIT,),
        configurations.lineage,
    ),
    Row(
        names.TEACHER_PROBE,
        "compare the teacher's logits with an independent forward",
        Kind.PREPARE,
        "experiments.teacher:probe_teacher",
        (names.TEACHER, names.CORPUS),
        configurations.teacher_probe,
    ),
    Row(
        names.KD_MATH,
        "compare the KD loss with a float64 reference",
        Kind.PREPARE,
        "experiments.teacher:check_kd_math",
        (),
        configurations.kd_math,
    ),
    Row(
        names.CORPUS_AUDIT,
        "look for the corpus in its files",
        Kind.PREPARE,
        "experiments.corpus_audit:audit_corpus",
        (names.TEACHER, names.CORPUS),
        configurations.corpus_audit,
    ),
    Row(
        names.HELDOUT_PLACES,
        "cut the held-out files again",
        Kind.REDO,
        "heldout_places:place_heldout",
        (names.TEACHER, names.CORPUS),
        configurations.corpus_audit,
    ),
    Row(
        names.STUDENT,
        "distil the student",
        Kind.TRAIN,
        "experiments.train:train",
        (names.TEACHER, names.CORPUS, names.INIT),
        configurations.student,
    ),
    Row(
        names.STUDENT_AUDIT,
        "score the student's files again by other means",
        Kind.PREPARE,
        "experiments.student_audit:audit_student",
        (names.CORPUS, names.INIT, names.STUDENT),
        configurations.student_audit,
    ),
    Row(
        names.STUDENT_REDO,
        "make segments of the student's run again",
        Kind.REDO,
        "training_redo:redo_training",
        (names.TEACHER, names.CORPUS, names.INIT, names.STUDENT),
        configurations.student_redo,
    ),
    Row(
        names.CE_CONTROL,
        "train the CE-only control",
        Kind.TRAIN,
        "experiments.train:train",
        (names.TEACHER, names.CORPUS, names.INIT),
        configurations.ce_control,
    ),
    Row(
        names.CE_CONTROL_AUDIT,
        "score the control's files again by other means",
        Kind.PREPARE,
        "experiments.student_audit:audit_student",
        (names.CORPUS, names.INIT, names.CE_CONTROL),
        configurations.ce_control_audit,
    ),
    Row(
        names.CE_CONTROL_REDO,
        "make segments of the control's run again",
        Kind.REDO,
        "training_redo:redo_training",
        (names.TEACHER, names.CORPUS, names.INIT, names.CE_CONTROL),
        configurations.ce_control_redo,
    ),
    Row(
        names.HUMANEVAL_CALIBRATION,
        "score canned answers: right, empty, forged, endless",
        Kind.HUMANEVAL,
        "experiments.evaluate:calibrate",
        (),
        configurations.humaneval_calibration,
    ),
    Row(
        names.HUMANEVAL_TEACHER,
        "HumanEval on the teacher",
        Kind.HUMANEVAL,
        "experiments.evaluate:evaluate",
        (names.TEACHER,),
        configurations.humaneval_teacher,
    ),
    Row(
        names.HUMANEVAL_INIT,
        "HumanEval on the init",
        Kind.HUMANEVAL,
        "experiments.evaluate:evaluate",
        (names.INIT,),
        configurations.humaneval_init,
    ),
    Row(
        names.HUMANEVAL_STUDENT,
        "HumanEval on the student",
        Kind.HUMANEVAL,
        "experiments.evaluate:evaluate",
        (names.STUDENT,),
        configurations.humaneval_student,
    ),
    Row(
        names.HUMANEVAL_SAMPLED,
        "HumanEval on the student, several samples a problem",
        Kind.HUMANEVAL,
        "experiments.evaluate:evaluate",
        (names.STUDENT,),
        configurations.humaneval_sampled,
        configurations.is_sampled,
    ),
    Row(
        names.HUMANEVAL_SEQUENTIAL,
        "HumanEval on the student, until the bar is decided",
        Kind.HUMANEVAL,
        "experiments.until_decided:evaluate_until_decided",
        (names.STUDENT,),
        configurations.humaneval_sequential,
        _is_sequential,
    ),
    Row(
        names.HUMANEVAL_NULL,
        "HumanEval on a model with random weights",
        Kind.HUMANEVAL,
        "experiments.evaluate:evaluate",
        (names.INIT,),
        configurations.humaneval_null,
    ),
    Row(
        names.HUMANEVAL_REPLAY_TEACHER,
        "make and execute some of the teacher's answers again",
        Kind.HUMANEVAL,
        "experiments.replay:replay",
        (names.TEACHER, names.HUMANEVAL_TEACHER),
        configurations.humaneval_replay_teacher,
    ),
    Row(
        names.HUMANEVAL_REPLAY_INIT,
        "make and execute some of the init's answers again",
        Kind.HUMANEVAL,
        "experiments.replay:replay",
        (names.INIT, names.HUMANEVAL_INIT),
        configurations.humaneval_replay_init,
    ),
    Row(
        names.HUMANEVAL_REPLAY_STUDENT,
        "make and execute some of the student's answers again",
        Kind.HUMANEVAL,
        "experiments.replay:replay",
        (names.STUDENT, names.HUMANEVAL_STUDENT),
        configurations.humaneval_replay_student,
    ),
    Row(
        names.HUMANEVAL_REPLAY_SAMPLED,
        "draw and execute some of the student's samples again",
        Kind.HUMANEVAL,
        "experiments.replay:replay",
        (names.STUDENT, names.HUMANEVAL_SAMPLED),
        configurations.humaneval_replay_sampled,
        configurations.is_sampled,
    ),
    Row(
        names.HUMANEVAL_REPLAY_NULL,
        "make and execute some answers of random weights again",
        Kind.HUMANEVAL,
        "experiments.replay:replay",
        (names.INIT, names.HUMANEVAL_NULL),
        configurations.humaneval_replay_null,
    ),
    Row(
        names.MEMORISATION,
        "ask teacher, init and student for solutions under other names",
        Kind.HUMANEVAL,
        "experiments.memorisation:measure_memorisation",
        (names.TEACHER, names.INIT, names.STUDENT),
        configurations.memorisation,
    ),
)


# Whom the student's own GGUF file answers, where the release has llama.cpp answer and names none.
_FROM_EXPORT = frozenset({names.HUMANEVAL_STUDENT, names.HUMANEVAL_SEQUENTIAL})


def distillation_experiments(parts: Parts) -> Iterator[Experiment]:
    """The experiments of a distillation."""
    return experiments_of(ROWS, parts)


def experiments_of(rows: Sequence[Row[AnyParts]], parts: AnyParts) -> Iterator[Experiment]:
    """The experiments of `parts`, in the order of the table `rows`."""
    left_out = {row.name for row in rows if not row.planned(parts)}
    secrets = key_variables(parts.release)
    from_export = _FROM_EXPORT if answers_from_export(parts.release) else frozenset()
    for row in rows:
        if row.name not in left_out:
            yield Experiment(
                row.name,
                row.title,
                row.entry,
                partial(row.configure, parts),
                (
                    *(need for need in row.needs if need not in left_out),
                    *([names.EXPORTED] if row.name in from_export else []),
                ),
                row.kind.limit_s(parts.release.limits),
                secrets if row.kind is Kind.HUMANEVAL else (),
            )


def refuse_self_distillation(distillation: Distillation, base: Path) -> None:
    """Raises UsageError where teacher and init are one model."""
    if isinstance(distillation.init, Loaded) and identity_of(distillation.teacher, base) == identity_of(
        distillation.init.model, base
    ):
        raise UsageError(
            "teacher and init are the same model: the KL term would be zero and nothing would be distilled",
            hint="name a larger teacher or another init",
        )
