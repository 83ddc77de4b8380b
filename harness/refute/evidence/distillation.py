"""The experiments that a `distillation` in a release stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from refute.errors import UsageError
from refute.evidence.experiment import Config, Experiment, FromEvidence
from refute.evidence.humaneval_backend import backend_of
from refute.evidence.sources import _file, _folder, _model
from refute.falsifier.registry import Falsifier
from refute.spec.bars.sequential import Design
from refute.spec.criteria import Spec
from refute.spec.release import DepthPruned, Distillation, FileCorpus, GgufModel, Loaded, ModelSource

DISTILL = "refute.engines.distill"


HUMANEVAL = "refute.engines.humaneval"


# The packages whose source enters the key of what they make.
_DISTILLING, _EVALUATING = ("engines/distill", "engines/model"), ("engines/humaneval", "engines/model")


STUDENT, SEQUENTIAL = "humaneval_student", "humaneval_sequential"


# The parameter by which a use of a falsifier allows problems without a verdict.
ERROR_SHARE = "allowed_error_share"


_DEQUANTISED: Config = {"model": {"format": "hf", "path": "model"}, "path": FromEvidence("teacher", "model")}


def sequential_design(specs: Iterable[Spec], falsifiers: Mapping[str, Falsifier]) -> Design | None:
    """The sequential test that `specs` declare for a falsifier that needs the evidence of a run stopped by one.

    Raises UsageError where they declare two that differ: one run can stop by one rule only.
    """
    found: dict[Design, str] = {}
    for use in (use for spec in specs for criterion in spec.criteria for use in criterion.falsifiers):
        falsifier = falsifiers.get(use.uses or "")
        if falsifier is not None and SEQUENTIAL in falsifier.needs:
            found |= {design: use.id for design in use.designs().values() if design not in found}
    if len(found) > 1:
        raise UsageError(
            f"{' and '.join(found.values())} declare different sequential tests of one run",
            hint=f"give them the same `sequential`, or judge one of them on all problems ({STUDENT})",
        )
    return next(iter(found), None)


def error_shares(specs: Iterable[Spec], falsifiers: Mapping[str, Falsifier]) -> dict[str, float]:
    """By evidence, the largest share of problems without a verdict that a use of it states.

    A run goes on up to there; a falsifier whose own share is smaller gives an error then, and no measurement.
    """
    found: dict[str, float] = {}
    for use in (use for spec in specs for criterion in spec.criteria for use in criterion.falsifiers):
        share, falsifier = use.parameters.get(ERROR_SHARE), falsifiers.get(use.uses or "")
        if falsifier is not None and isinstance(share, int | float):
            found |= {need: max(float(share), found.get(need, 0.0)) for need in falsifier.needs}
    return found


def _refuse_self_distillation(distillation: Distillation, base: Path) -> None:
    if isinstance(distillation.init, Loaded) and _identity(distillation.teacher, base) == _identity(
        distillation.init.model, base
    ):
        raise UsageError(
            "teacher and init are the same model: the KL term would be zero and nothing would be distilled",
            hint="name a larger teacher or another init",
        )


def _identity(model: ModelSource, base: Path) -> str:
    return (
        model.source.sha256 if isinstance(model, GgufModel) else str((base / Path(model.path).expanduser()).resolve())
    )


def _until_decided(student: Experiment, design: Design, error_share: float) -> Experiment:
    return replace(
        student,
        name=SEQUENTIAL,
        title="HumanEval on the student, until the bar is decided",
        entry=f"{HUMANEVAL}.experiments.until_decided:evaluate_until_decided",
        config={**student.config, "sequential": design.as_json(), "allowed_error_share": error_share},
    )


def _distillation(
    release: Distillation, base: Path, sequential: Design | None, error_shares: Mapping[str, float]
) -> list[Experiment]:
    machine: Config = {"device": release.device, "threads": release.threads}
    original = _model(release.teacher, base)
    # A GGUF is dequantised once: transformers takes seconds to minutes over it, and five experiments need it.
    quantised = isinstance(release.teacher, GgufModel)
    teacher = _DEQUANTISED if quantised else original
    of_teacher: tuple[str, ...] = ("teacher",) if quantised else ()
    problems = _file(release.humaneval.problems, base)
    humaneval = release.humaneval.model_dump(mode="json", exclude={"backend"})
    training = release.training
    limits = release.limits

    def prepare(name: str, title: str, entry: str, needs: tuple[str, ...], config: Config) -> Experiment:
        return Experiment(name, title, f"{DISTILL}.{entry}", needs, config, _DISTILLING, limits.prepare_s)

    native = isinstance(release.teacher, GgufModel) and release.teacher.runtime == "llama.cpp"

    def train(name: str, title: str, weights: Mapping[str, float]) -> Experiment:
        config: Config = {
            "training": {**training.model_dump(mode="json"), **weights},
            "teacher": original if native else teacher,
            "init": FromEvidence("init", "model"),
            "corpus": FromEvidence("corpus", ""),
            "budget_hours": limits.train_s / 3600,
            "processes": release.processes,
            **machine,
        }
        needs = (*of_teacher, "corpus", "init")
        return Experiment(name, title, f"{DISTILL}.experiments.train:train", needs, config, _DISTILLING, limits.train_s)

    def evaluate(name: str, title: str, needs: tuple[str, ...], model: Config, limit: int | None) -> Experiment:
        role = name.removeprefix("humaneval_")
        config: Config = {
            "model": model,
            "humaneval": humaneval,
            "backend": None if role == "null" else backend_of(release, role, lambda source: _file(source, base)),
            "problems_path": problems,
            "limit": limit,
            "allowed_error_share": error_shares.get(name, 0.0),
            **machine,
        }
        entry = f"{HUMANEVAL}.experiments.evaluate:evaluate"
        return Experiment(name, title, entry, needs, config, _EVALUATING, limits.humaneval_s)

    corpus_path = (
        _folder(base / Path(release.corpus.path).expanduser()) if isinstance(release.corpus, FileCorpus) else None
    )
    corpus: Config = {
        "corpus": release.corpus.model_dump(mode="json"),
        "path": corpus_path,
        "seq_len": training.seq_len,
        "problems_path": problems,
        "tokenizer": {"kind": "source", **teacher},
    }
    init_model = _model(release.init.model, base) if isinstance(release.init, Loaded) else {}
    init: Config = {
        "init": release.init.model_dump(mode="json"),
        "teacher": teacher,
        "init_path": init_model.get("path"),
        "probe_windows": release.init.probe_windows if isinstance(release.init, DepthPruned) else 1,
        "skip_windows": training.eval_windows,
        **machine,
    }
    limit = release.humaneval.limit
    student_model: Config = {"kind": "evidence", "name": "student"}
    student = evaluate(STUDENT, "HumanEval on the student", ("student",), student_model, limit)
    dequantise = prepare(
        "teacher", "obtain and dequantise the teacher", "experiments.teacher:dequantise", (), {"teacher": original}
    )
    return [
        *([dequantise] if quantised else []),
        prepare(
            "corpus", "tokenise, split and decontaminate the corpus", "data.corpus:build_corpus", of_teacher, corpus
        ),
        prepare(
            "contamination",
            "look for the benchmark in the tokens that are trained on",
            "experiments.contamination:measure_overlap",
            (*of_teacher, "corpus"),
            {"problems_path": problems, "tokenizer": corpus["tokenizer"]},
        ),
        prepare(
            "init",
            "make the student's initial checkpoint",
            "experiments.init:build_init",
            (*of_teacher, "corpus"),
            init,
        ),
        prepare(
            "lineage", "identify teacher and init", "experiments.teacher:lineage", ("init",), {"teacher": original}
        ),
        prepare(
            "teacher_probe",
            "compare the teacher's logits with an independent forward",
            "experiments.teacher:probe_teacher",
            (*of_teacher, "corpus"),
            {"teacher": teacher, "reference": original, "windows": 2, "tokens": 32, **machine},
        ),
        prepare(
            "kd_math",
            "compare the KD loss with a float64 reference",
            "experiments.teacher:check_kd_math",
            (),
            {"dtype": training.dtype, **machine},
        ),
        prepare(
            "corpus_audit",
            "look for the corpus in its files",
            "experiments.corpus_audit:audit_corpus",
            (*of_teacher, "corpus"),
            {
                "corpus": corpus["corpus"],
                "path": corpus_path,
                "problems_path": problems,
                "tokenizer": teacher,
            },
        ),
        train("student", "distil the student", {}),
        prepare(
            "student_audit",
            "redo the student's first step and its held-out losses by other means",
            "experiments.student_audit:audit_student",
            (*of_teacher, "corpus", "init", "student"),
            {
                "training": training.model_dump(mode="json"),
                "teacher": original if native else teacher,
                "processes": release.processes,
                **machine,
            },
        ),
        train("ce_control", "train the CE-only control", {"ce_weight": 1.0, "kd_weight": 0.0}),
        Experiment(
            "humaneval_calibration",
            "score canned answers: right, empty, forged, endless",
            f"{HUMANEVAL}.experiments.evaluate:calibrate",
            (),
            {"humaneval": humaneval, "problems_path": problems},
            _EVALUATING,
            limits.humaneval_s,
        ),
        evaluate("humaneval_teacher", "HumanEval on the teacher", of_teacher, {"kind": "source", **teacher}, limit),
        evaluate("humaneval_init", "HumanEval on the init", ("init",), {"kind": "evidence", "name": "init"}, limit),
        student,
        *([] if sequential is None else [_until_decided(student, sequential, error_shares.get(SEQUENTIAL, 0.0))]),
        evaluate(
            "humaneval_null",
            "HumanEval on a model with random weights",
            ("init",),
            {"kind": "random", "name": "init", "layers": 2, "seed": 17},
            release.humaneval.null_limit,
        ),
        Experiment(
            "humaneval_replay",
            "generate and execute a few of the student's answers again",
            f"{HUMANEVAL}.experiments.replay:replay",
            ("student", "humaneval_student"),
            {
                "model": "student",
                "run": "humaneval_student",
                "humaneval": humaneval,
                "problems_path": problems,
                **machine,
            },
            _EVALUATING,
            limits.humaneval_s,
        ),
    ]
