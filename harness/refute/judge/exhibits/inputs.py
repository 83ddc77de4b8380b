"""The inputs of a verdict (models, corpus, seeds, samplers), read out of the evidence of a distillation."""

from __future__ import annotations

from refute.errors import EvidenceError
from refute.judge.exhibits.reading import Lines, read_object
from refute.judge.predicate.inputs import (
    BackendInput,
    CorpusInput,
    EvaluationInput,
    Inputs,
    ModelInput,
    SamplerInput,
    TrainingInput,
)
from refute.spec.experiments.evidence.distill import CorpusManifest, ModelIdentity, TrainingSummary
from refute.spec.experiments.evidence.humaneval import EffectiveSampler, EvaluationSummary
from refute.spec.experiments.evidence_files import (
    CORPUS,
    CORPUS_MANIFEST,
    EVALUATION_SUMMARY,
    EVALUATIONS,
    HUMANEVAL_SAMPLED,
    IDENTITIES,
    LINEAGE,
    SAMPLED_SUMMARY,
    TRAINING_SUMMARY,
    TRAININGS,
)


def gather_inputs(lines: Lines) -> Inputs:
    """What the evidence of a run says about its inputs. Raises EvidenceError where it states something else there."""
    lineage = read_object(lines, LINEAGE, IDENTITIES)
    corpus = read_object(lines, CORPUS, CORPUS_MANIFEST)
    trainings = {name: read_object(lines, name, TRAINING_SUMMARY) for name in TRAININGS}
    evaluations = {name: read_object(lines, name, EVALUATION_SUMMARY) for name in EVALUATIONS}
    evaluations[HUMANEVAL_SAMPLED] = read_object(lines, HUMANEVAL_SAMPLED, SAMPLED_SUMMARY)
    return Inputs(
        teacher=None if lineage is None else _model(lineage.teacher),
        init=None if lineage is None else _model(lineage.init),
        corpus=None if corpus is None else _corpus(corpus),
        training={name: _training(name, found) for name, found in trainings.items() if found is not None},
        evaluations={name: _evaluation(found) for name, found in evaluations.items() if found is not None},
    )


def _model(found: ModelIdentity) -> ModelInput:
    return ModelInput(
        weights_sha256=found.sha256,
        tokens_sha256=found.tokens_sha256,
        merges_sha256=found.merges_sha256,
        chat_template_sha256=found.chat_template_sha256,
    )


def _corpus(found: CorpusManifest) -> CorpusInput:
    return CorpusInput(
        train_sha256=found.train_sha256,
        heldout_sha256=found.heldout_sha256,
        tokenizer_sha256=found.tokenizer_sha256,
        python_version=found.python_version,
    )


def _training(name: str, found: TrainingSummary) -> TrainingInput:
    if found.teacher_sha256 is None:
        raise EvidenceError(
            f"evidence {name}/{TRAINING_SUMMARY.name}: teacher_sha256: found null, expected the teacher's SHA-256",
            hint="a release is distilled from a teacher: run the experiment again",
        )
    return TrainingInput(teacher_sha256=found.teacher_sha256, seed=found.seed)


def _evaluation(found: EvaluationSummary) -> EvaluationInput:
    return EvaluationInput(
        backend=BackendInput(**dict(found.backend)),
        problems_sha256=found.problems_sha256,
        template_sha256=found.template_sha256,
        protocol=found.protocol,
        system_prompt=found.system_prompt,
        sampler=_sampler(found.effective_sampler),
    )


def _sampler(found: EffectiveSampler) -> SamplerInput:
    return SamplerInput(
        method=found.method,
        temperature=found.temperature,
        n=found.n,
        repetition_penalty=found.repetition_penalty,
        top_p=found.top_p,
        seed=found.seed,
    )
