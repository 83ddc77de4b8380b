"""Experiment: segments of a finished training run made again, and its released model scored again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from refute.auditors.adamw import Moments
from refute.auditors.claims import Claims, distance
from refute.auditors.heldout import score_heldout
from refute.auditors.models import Answer, open_model, open_teacher, remembered
from refute.auditors.redo import Loop, Redone, redo
from refute.auditors.segments import Segment, drawn_starts, fresh_draw, segments_of
from refute.auditors.states import put_state, sample
from refute.auditors.windows import Corpus, batch_digests, read_corpus
from refute.job import Job
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
    FOREIGN_FIRST_STEP,
    FOREIGN_FIRST_STEP_TENSORS,
    FOREIGN_SEGMENTS,
    FOREIGN_STEPS,
    FOREIGN_TRACE,
    HELDOUT_DISTANCES,
    MODEL,
    RELEASED_LINK,
    SEGMENT_DRAW,
    SEGMENTS,
    STEPS_AGAIN,
    TRACE_AGAIN,
    ArraysFile,
    JsonFile,
    RowsFile,
)
from refute.spec.experiments.parsing import parse_config

# Entries of each parameter in the first step's file, evenly spaced.
_FIRST_ENTRIES = 64


@dataclass(slots=True)
class _Found:
    """A row a segment, a scored state, a redone step; its weights and first moments where the trace has them."""

    entropy: str
    segments: list[RedoneSegment] = field(default_factory=list)
    curve: list[HeldoutEvaluation] = field(default_factory=list)
    steps: list[RedoneStep] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    first_moment: list[Tensor] = field(default_factory=list)

    def add(self, segment: int, redone: Redone, student: PreTrainedModel, moments: Mapping[str, Moments]) -> None:
        """A step that was just made, and what it left."""
        self.steps.append(_row(segment, redone))
        self.weights.append(sample(_parameters(student), self.entropy))
        self.first_moment.append(sample({name: each.first for name, each in moments.items()}, self.entropy))

    def write(
        self, out: Path, files: tuple[RowsFile[RedoneSegment], RowsFile[RedoneStep], ArraysFile], decays: Tensor
    ) -> None:
        """Segments, steps, and what these left."""
        segments, steps, trace = files
        _write_rows(out / segments.name, self.segments)
        _write_rows(out / steps.name, self.steps)
        arrays = {"weights": torch.stack(self.weights), "first_moment": torch.stack(self.first_moment)}
        save_file({**arrays, "decays": decays}, out / trace.name)


def redo_training(job: Job) -> None:
    """Makes segments of input `run` again from inputs `init` and `corpus`, and scores its model against the teacher.

    Writes the files of `evidence_files.STUDENT_REDO`; redone.safetensors holds, of the N entries in each row of the
    run's trace, `weights` and `first_moment` (R, N) float32 after each of the R redone steps, and `decays` (N,) uint8,
    1 in matrices.
    Files named foreign are of steps on text that the run never saw, by the same loop: they must be seen to differ.
    Raises ExperimentError for a run that did not keep what it must, or models that are not whole.
    """
    config = parse_config(RedoConfig, job)
    torch.set_num_threads(config.threads)
    training, run = config.training, job.inputs[config.run].folder
    claims = Claims.of(run, config.run, training)
    # The run has ended: nothing of it knew what is asked of it now.
    draw = fresh_draw(run, claims.custody, training.steps)
    _write(job.out / SEGMENT_DRAW.name, draw)
    init, corpus = job.inputs["init"].path(MODEL.name), _corpus(job, config)
    job.progress("load teacher and init", 0, 1)
    teacher = open_teacher(config.teacher, training, device=config.device, threads=config.threads)
    released = _parameters(open_model(run / MODEL.name, "cpu"))
    loop = Loop.over(open_model(init, config.device), teacher, corpus, training)
    before = _copied(loop.student)
    scorer = remembered(teacher)
    found = _redo_all(job, loop, scorer, claims, (before, released), drawn_starts(draw))
    decays = {name: torch.full_like(each, float(each.ndim >= 2)) for name, each in before.items()}
    sampled = sample(decays, claims.custody.entropy).to(torch.uint8)
    found.write(job.out, (SEGMENTS, STEPS_AGAIN, TRACE_AGAIN), sampled)
    _write_rows(job.out / CURVE_AGAIN.name, found.curve)
    later = next((each.start for each in found.segments if each.start > 0), 0)
    foreign = _redo_foreign(job, loop, claims, before, later)
    foreign.write(job.out, (FOREIGN_SEGMENTS, FOREIGN_STEPS, FOREIGN_TRACE), sampled)
    digests = enumerate(batch_digests(corpus, training, config.processes), start=1)
    _write_rows(job.out / BATCHES.name, (BatchDigest(step=step, batch_sha256=digest) for step, digest in digests))
    _write(job.out / RELEASED_LINK.name, ReleasedLink(broken=claims.broken_release(released)))
    job.progress("score init and model again", 0, 1)
    _write_rows(job.out / HELDOUT_DISTANCES.name, _distances(config, (init, run / MODEL.name), scorer, corpus))


def _corpus(job: Job, config: RedoConfig) -> Corpus:
    folder = job.inputs["corpus"].folder
    manifest = json.loads((folder / CORPUS_MANIFEST.name).read_text(encoding="utf-8"))
    return read_corpus(manifest, folder, config.training)


def _redo_all(
    job: Job,
    loop: Loop,
    teacher: Answer,
    claims: Claims,
    models: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    starts: Sequence[int],
) -> _Found:
    """Segments from `starts`, and around resumptions; `models` are init and release."""
    found, (init, released) = _Found(claims.custody.entropy), models
    planned = segments_of(claims.custody, starts, loop.training.steps, claims.released)
    total = sum(each.end - each.start for each in planned)
    # Where the run had to score itself, for it keeps these states; not those of its resumptions.
    scored = set(starts) - {0}
    for number, segment in enumerate(planned):
        moments = put_state(claims.folder, segment.start, init, loop.student)
        begun = _copied(loop.student)
        if segment.start in scored:
            scored.remove(segment.start)
            if segment.start == claims.released:
                claims.round_as_released(loop.student)
            found.curve.append(_scored(segment.start, loop, teacher))
            put_state(claims.folder, segment.start, init, loop.student)
            loop.student.train()
        broken = claims.broken_at(segment.start, begun, moments)
        for redone in redo(loop, moments, segment.start, segment.end):
            found.add(number, redone, loop.student, moments)
            job.progress("redo", len(found.steps), total, loss=found.steps[-1].total)
            if redone.step == 1 and not number:
                _write_first_step(job.out, (FIRST_STEP_AGAIN, FIRST_STEP_TENSORS_AGAIN), redone, begun)
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


def _redo_foreign(job: Job, loop: Loop, claims: Claims, init: Mapping[str, Tensor], start: int) -> _Found:
    """Two steps on foreign text: one from the init, written as the first step is, and one from the state at `start`."""
    foreign, found = loop.on_foreign_text(), _Found(claims.custody.entropy)
    (first,) = redo(foreign, put_state(claims.folder, 0, init, loop.student), 0, 1)
    _write_first_step(job.out, (FOREIGN_FIRST_STEP, FOREIGN_FIRST_STEP_TENSORS), first, init)
    moments = put_state(claims.folder, start, init, loop.student)
    (later,) = redo(foreign, moments, start, start + 1)
    found.add(0, later, loop.student, moments)
    found.segments.append(RedoneSegment(segment=0, start=start, end=start + 1, target="trace", distance=None, broken=0))
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
        return distance(begun, claims.unrounded(released, redone), redone)
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
            ce_teacher=new.ce_teacher,
        )


def _parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in model.named_parameters()}


def _copied(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in _parameters(model).items()}


def _write_first_step(
    out: Path, files: tuple[JsonFile[FirstStep], ArraysFile], redone: Redone, before: Mapping[str, Tensor]
) -> None:
    """The gradient that AdamW is given first and the weights that it finds, at evenly spaced entries."""
    found: dict[str, Tensor] = {}
    for name, weights in before.items():
        count = min(weights.numel(), _FIRST_ENTRIES)
        index = torch.arange(count) * weights.numel() // count
        gradient = redone.gradients.get(name, torch.zeros_like(weights))
        found[f"gradient/{name}"] = gradient.flatten().cpu()[index].float()
        found[f"before/{name}"] = weights.flatten().cpu()[index].float()
    figures, tensors = files
    save_file(found, out / tensors.name)
    losses = redone.losses
    first = FirstStep(tokens=losses.tokens, grad_norm=redone.grad_norm, **losses.means())
    _write(out / figures.name, first)


def _write_rows(path: Path, rows: Iterable[EvidenceModel]) -> None:
    path.write_text("".join(_line(row) for row in rows), encoding="utf-8")


def _write(path: Path, content: EvidenceModel) -> None:
    path.write_text(_line(content), encoding="utf-8")


def _line(row: EvidenceModel) -> str:
    return json.dumps(row.as_json(), allow_nan=False) + "\n"
