"""What a finished run leaves: the model as a folder, its logs, one sample, and a summary of what really ran."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from refute.engines.distill.logs import StepLog, write_json, write_rows
from refute.engines.distill.training.audit_trail import AuditTrail
from refute.engines.distill.training.build import Run
from refute.engines.distill.training.checkpoint import load_weights, model_weights
from refute.engines.distill.training.evaluate import (
    HeldoutTeacher,
    WindowScore,
    greedy_sample,
    score_windows,
    summarise,
)
from refute.engines.distill.training.step import model_inputs
from refute.engines.model.folder import count_parameters, load_model, round_weights, save_model
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.distill import (
    HeldoutEvaluation,
    HeldoutWindow,
    Preflight,
    TrainingStep,
    TrainingSummary,
)
from refute.spec.experiments.evidence_files import (
    FIRST_STEP,
    GREEDY_SAMPLE,
    HELDOUT_EVALUATIONS,
    HELDOUT_SCORES,
    MODEL,
    PREFLIGHT,
    STEPS,
    TRAINING_SUMMARY,
)
from refute.spec.experiments.training import Training

Row = Mapping[str, object]
_BEST = "best.safetensors"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A run after its last step: held-out scores before and after, the rows of its logs, what preflight found.

    `final` are those of the last step's weights; `teacher` scores others, where those are kept.
    """

    initial: Sequence[WindowScore]
    final: Sequence[WindowScore]
    metrics: Sequence[Row]
    evals: Sequence[Row]
    preflight: Preflight
    teacher: HeldoutTeacher | None
    trail: AuditTrail


def keep_best(scratch: Path, run: Run, evals: StepLog) -> None:
    """Where the best weights are to be kept: writes them beside the checkpoints if the last evaluation is the best."""
    training = run.config.training
    if training.keep == "last" or _best_row(training, evals.rows) is not evals.rows[-1]:
        return
    weights = model_weights(run.student)
    if run.ranks.is_main:
        temporary = scratch / f".{_BEST}.tmp"
        save_file(weights, temporary)
        temporary.replace(scratch / _BEST)
        write_json(scratch / "best.json", evals.rows[-1])


def write_results(job: Job, run: Run, result: TrainingResult) -> None:
    """Writes everything into job.out; every rank must call it, the first one writes."""
    job.progress("save", 0, 1)
    weights = model_weights(run.student)
    dropped = run.ranks.all_gather({} if result.teacher is None else result.teacher.dropped)
    if not run.ranks.is_main:
        run.ranks.barrier()
        return
    write_rows(job.out / STEPS.name, result.metrics)
    write_json(job.out / PREFLIGHT.name, result.preflight.as_json())
    shutil.copyfile(job.scratch / FIRST_STEP.name, job.out / FIRST_STEP.name)
    result.trail.save(job.out)
    model, step = _chosen(job, run, weights)
    dtype = _dtype(run.config.training)
    round_weights(model, dtype)
    if step != run.config.training.steps or dtype != torch.float32:
        result = replace(result, final=_score(run, model, result))
    write_rows(job.out / HELDOUT_EVALUATIONS.name, _curve(result, step, dtype))
    windows = [
        HeldoutWindow(window=after.window, ce_initial=before.ce, ce=after.ce, kl=after.kl)
        for before, after in zip(result.initial, result.final, strict=True)
    ]
    write_rows(job.out / HELDOUT_SCORES.name, [window.as_json() for window in windows])
    save_model(model, job.out / MODEL.name, tokenizer_from=run.init_folder, dtype=dtype)
    write_json(job.out / GREEDY_SAMPLE.name, greedy_sample(model, run.tokenizer).as_json())
    masses = {window: mass for part in dropped for window, mass in part.items()}
    dropped_mass = sum(masses.values()) / len(masses) if masses else None
    summary = _summary(run, model, result, step, dropped_mass)
    write_json(job.out / TRAINING_SUMMARY.name, summary.as_json())
    job.progress("save", 1, 1)
    run.ranks.barrier()


def _chosen(job: Job, run: Run, weights: Mapping[str, torch.Tensor]) -> tuple[PreTrainedModel, int]:
    """The model to be released, whole, on this rank, and after which step its weights were taken."""
    model = load_model(run.init_folder, device=run.device)
    if run.config.training.keep == "last":
        load_weights(model, weights)
        return model, run.config.training.steps
    try:
        best = json.loads((job.scratch / "best.json").read_text(encoding="utf-8"))
        load_weights(model, load_file(job.scratch / _BEST, device=run.device))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"the best weights cannot be read: {error}", hint="run again from the start") from error
    return model, int(best["step"])


def _dtype(training: Training) -> torch.dtype:
    found: torch.dtype = getattr(torch, training.save_dtype)
    return found


def _curve(result: TrainingResult, step: int, dtype: torch.dtype) -> Sequence[Row]:
    """The evaluations, the one after `step` of the weights as they are released."""
    if dtype == torch.float32:
        return result.evals
    released = summarise(step, result.final).as_json()
    return [released if row["step"] == step else row for row in result.evals]


def _score(run: Run, model: PreTrainedModel, result: TrainingResult) -> Sequence[WindowScore]:
    """Held-out scores of the model that is kept, where that is not the one of the last step, to the last bit."""
    return score_windows(
        lambda batch: model(**model_inputs(batch), use_cache=False).logits, run.heldout, result.teacher
    )


def is_evaluated(training: Training, step: int) -> bool:
    """Whether the configuration asks for an evaluation after `step`: before the first, of the last, every so many."""
    return step % training.eval_every == 0 or step == training.steps


def _best_row(training: Training, rows: Sequence[Row]) -> Row:
    """The lowest held-out loss of those that were asked for, the earliest where two are equal."""
    asked = [row for row in rows if is_evaluated(training, int(str(row["step"])))]
    return min(asked, key=lambda row: (float(str(row["heldout_ce"])), int(str(row["step"]))))


def _summary(
    run: Run, model: PreTrainedModel, result: TrainingResult, model_step: int, dropped_mass: float | None
) -> TrainingSummary:
    """What ran, from the objects that ran it: sizes, devices and effective configuration, not the request."""
    training = run.config.training
    first, last = summarise(0, result.initial), summarise(training.steps, result.final)
    steps = [TrainingStep.model_validate(row) for row in result.metrics]
    best = HeldoutEvaluation.model_validate(_best_row(training, result.evals))
    tokens = sum(step.tokens for step in steps)
    init = load_model(run.init_folder, device=run.device)
    # Else every tensor that rounding touches would pass for trained.
    round_weights(init, _dtype(training))
    before = dict(init.named_parameters())
    after = dict(model.named_parameters())
    parameter = next(run.student.parameters())
    return TrainingSummary(
        steps=len(steps),
        supervised_tokens=tokens,
        initial_heldout_ce=first.heldout_ce,
        final_heldout_ce=last.heldout_ce,
        initial_heldout_kl=first.heldout_kl,
        final_heldout_kl=last.heldout_kl,
        initial_probe_cosine=first.probe_cosine,
        final_probe_cosine=last.probe_cosine,
        best_heldout_ce=best.heldout_ce,
        best_step=best.step,
        eval_windows=last.windows,
        parameters=count_parameters(model),
        tensors=len(after),
        changed_tensors=sum(not torch.equal(before[name], tensor) for name, tensor in after.items()),
        teacher_sha256=run.teacher_sha256,
        wall_s=steps[-1].wall_s,
        tokens_per_s=tokens / sum(step.tokens / step.tokens_per_s for step in steps),
        device=parameter.device.type,
        dtype=str(parameter.dtype).removeprefix("torch."),
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
        ranks=run.ranks.world_size,
        seed=run.data.order.seed,
        effective_config=training,
        identity=dict(run.identity),
        model_step=model_step,
        dropped_mass=dropped_mass,
    )
