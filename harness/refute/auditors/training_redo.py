"""Experiment: segments of a finished training run made again, and its released model scored again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from refute.auditors.claims import Claims, distance
from refute.auditors.heldout import score_heldout
from refute.auditors.models import Answer, open_model, open_teacher
from refute.auditors.redo import Loop, Redone, redo
from refute.auditors.segments import Segment, segments_of
from refute.auditors.states import put_state, sample
from refute.auditors.windows import Corpus, batch_digests, read_corpus
from refute.job import Job
from refute.spec.experiments.custody import segment_starts
from refute.spec.experiments.distill import RedoConfig
from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.experiments.evidence.distill import HeldoutEvaluation
from refute.spec.experiments.evidence.redo import (
    BatchDigest,
    FirstStep,
    RedoneSegment,
    RedoneStep,
    ReleasedLink,
    WindowDistance,
)
from refute.spec.experiments.evidence_files import (
    BATCHES,
    CORPUS_MANIFEST,
    CURVE_AGAIN,
    FIRST_STEP_AGAIN,
    FIRST_STEP_TENSORS_AGAIN,
    HELDOUT_DISTANCES,
    MODEL,
    RELEASED_LINK,
    SEGMENTS,
    STEPS_AGAIN,
    TRACE_AGAIN,
)
from refute.spec.experiments.parsing import parse_config

# Entries of each parameter in the first step's file, evenly spaced.
_FIRST_ENTRIES = 64


@dataclass(slots=True)
class _Found:
    """A row a segment, a scored state, a redone step; its weights and first moments where the trace has them."""

    segments: list[RedoneSegment] = field(default_factory=list)
    curve: list[HeldoutEvaluation] = field(default_factory=list)
    steps: list[RedoneStep] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    first_moment: list[Tensor] = field(default_factory=list)


def redo_training(job: Job) -> None:
    """Makes segments of input `run` again from inputs `init` and `corpus`, and scores its model against the teacher.

    Writes the files of `evidence_files.STUDENT_REDO`; redone.safetensors holds, of the N entries in each row of the
    run's trace, `weights` and `first_moment` (R, N) float32 after each of the R redone steps, and `decays` (N,) uint8,
    1 in matrices.
    Raises ExperimentError for a run that did not keep what it must, or models that are not whole.
    """
    config = parse_config(RedoConfig, job)
    torch.set_num_threads(config.threads)
    training, run = config.training, job.inputs[config.run].folder
    claims = Claims.of(run, config.run, training.steps)
    init, corpus = job.inputs["init"].path(MODEL.name), _corpus(job, config)
    job.progress("load teacher and init", 0, 1)
    teacher = open_teacher(config.teacher, training, device=config.device, threads=config.threads)
    released = _parameters(open_model(run / MODEL.name, "cpu"))
    loop = Loop.over(open_model(init, config.device), teacher, corpus, training)
    found = _redo_all(job, loop, teacher, claims, released)
    _write_rows(job.out / SEGMENTS.name, found.segments)
    _write_rows(job.out / STEPS_AGAIN.name, found.steps)
    _write_rows(job.out / CURVE_AGAIN.name, found.curve)
    decays = {name: torch.full_like(each, float(each.ndim >= 2)) for name, each in _parameters(loop.student).items()}
    arrays = {"weights": torch.stack(found.weights), "first_moment": torch.stack(found.first_moment)}
    arrays["decays"] = sample(decays, claims.custody.entropy).to(torch.uint8)
    save_file(arrays, job.out / TRACE_AGAIN.name)
    digests = enumerate(batch_digests(corpus, training, config.processes), start=1)
    _write_rows(job.out / BATCHES.name, (BatchDigest(step=step, batch_sha256=digest) for step, digest in digests))
    _write(job.out / RELEASED_LINK.name, ReleasedLink(broken=claims.broken_release(released)))
    job.progress("score init and model again", 0, 1)
    _write_rows(job.out / HELDOUT_DISTANCES.name, _distances(config, (init, run / MODEL.name), teacher, corpus))


def _corpus(job: Job, config: RedoConfig) -> Corpus:
    folder = job.inputs["corpus"].folder
    manifest = json.loads((folder / CORPUS_MANIFEST.name).read_text(encoding="utf-8"))
    return read_corpus(manifest, folder, config.training)


def _redo_all(job: Job, loop: Loop, teacher: Answer, claims: Claims, released: Mapping[str, Tensor]) -> _Found:
    found, planned = _Found(), segments_of(claims.custody, loop.training.steps, claims.released)
    total = sum(each.end - each.start for each in planned)
    init = _copied(loop.student)
    # Where the run had to score itself, for it keeps these states; not those of its resumptions.
    scored = set(segment_starts(claims.custody.entropy, loop.training.steps)) - {0}
    for number, segment in enumerate(planned):
        moments = put_state(claims.folder, segment.start, init, loop.student)
        begun = _copied(loop.student)
        if segment.start in scored:
            scored.remove(segment.start)
            found.curve.append(_scored(segment.start, loop, teacher))
            loop.student.train()
        broken = claims.broken_at(segment.start, begun, moments)
        for redone in redo(loop, moments, segment.start, segment.end):
            found.weights.append(sample(_parameters(loop.student), claims.custody.entropy))
            first = {name: each.first for name, each in moments.items()}
            found.first_moment.append(sample(first, claims.custody.entropy))
            found.steps.append(_row(number, redone))
            job.progress("redo", len(found.steps), total, loss=found.steps[-1].total)
            if redone.step == 1 and not number:
                _write_first_step(job.out, redone, begun)
        found.segments.append(
            RedoneSegment(
                segment=number,
                start=segment.start,
                end=segment.end,
                target=segment.target,
                distance=_distance(claims, segment, loop.student, begun, released),
                broken=broken,
            )
        )
    return found


def _scored(step: int, loop: Loop, teacher: Answer) -> HeldoutEvaluation:
    """The state after `step`, as the run evaluates: means over all predicted tokens of the held-out windows."""
    windows = list(score_heldout(loop.student, teacher, loop.corpus, loop.training.eval_windows))
    tokens = max(sum(each.tokens for each in windows), 1)
    ce, kl, cosine = (
        sum(getattr(each, name) * each.tokens for each in windows) / tokens for name in ("ce", "kl", "cosine")
    )
    return HeldoutEvaluation(step=step, heldout_ce=ce, heldout_kl=kl, probe_cosine=cosine, windows=len(windows))


def _row(segment: int, redone: Redone) -> RedoneStep:
    return RedoneStep(
        segment=segment,
        step=redone.step,
        rate=redone.rate,
        tokens=redone.losses.tokens,
        grad_norm=redone.grad_norm,
        **redone.losses.means(),
    )


def _distance(
    claims: Claims,
    segment: Segment,
    student: PreTrainedModel,
    begun: Mapping[str, Tensor],
    released: Mapping[str, Tensor],
) -> float | None:
    """Of all redone weights from those that the run claims; None where it kept none of that step."""
    if segment.target == "trace":
        return None
    redone = _copied(student)
    if segment.target == "model":
        return distance(begun, released, redone)
    put_state(claims.folder, segment.end, begun, student)
    return distance(begun, _parameters(student), redone)


def _distances(
    config: RedoConfig, models: tuple[Path, Path], teacher: Answer, corpus: Corpus
) -> Iterable[WindowDistance]:
    """Every held-out window under the init and the released model."""
    before, after = (
        score_heldout(open_model(folder, config.device), teacher, corpus, config.training.eval_windows)
        for folder in models
    )
    for old, new in zip(before, after, strict=True):
        yield WindowDistance(
            window=new.window,
            tokens=new.tokens,
            ce=new.ce,
            kl=new.kl,
            cosine=new.cosine,
            ce_initial=old.ce,
            kl_initial=old.kl,
            cosine_initial=old.cosine,
        )


def _parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in model.named_parameters()}


def _copied(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in _parameters(model).items()}


def _write_first_step(out: Path, redone: Redone, before: Mapping[str, Tensor]) -> None:
    """The gradient that AdamW is given first and the weights that it finds, at evenly spaced entries."""
    found: dict[str, Tensor] = {}
    for name, weights in before.items():
        count = min(weights.numel(), _FIRST_ENTRIES)
        index = torch.arange(count) * weights.numel() // count
        gradient = redone.gradients.get(name, torch.zeros_like(weights))
        found[f"gradient/{name}"] = gradient.flatten().cpu()[index].float()
        found[f"before/{name}"] = weights.flatten().cpu()[index].float()
    save_file(found, out / FIRST_STEP_TENSORS_AGAIN.name)
    losses = redone.losses
    first = FirstStep(tokens=losses.tokens, grad_norm=redone.grad_norm, **losses.means())
    _write(out / FIRST_STEP_AGAIN.name, first)


def _write_rows(path: Path, rows: Iterable[EvidenceModel]) -> None:
    path.write_text("".join(_line(row) for row in rows), encoding="utf-8")


def _write(path: Path, content: EvidenceModel) -> None:
    path.write_text(_line(content), encoding="utf-8")


def _line(row: EvidenceModel) -> str:
    return json.dumps(row.as_json(), allow_nan=False) + "\n"
