"""What a long run is not begun without, and what ends one early: each keeps what is needed to understand it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from refute.engines.distill.logs import StepLog, write_json
from refute.engines.distill.training.build import Run
from refute.engines.distill.training.checkpoint import (
    differences_of,
    load_weights,
    model_weights,
    save_checkpoint,
)
from refute.engines.distill.training.step import model_inputs
from refute.engines.model.folder import load_model
from refute.errors import ExperimentError, NonFiniteError, UsageError
from refute.job import Job
from refute.spec.experiments.evidence.distill import SmokeRun, TrainingStep
from refute.spec.experiments.evidence_files import SMOKE_RUN

# After so many steps of a run the pace is known, and a run that cannot end in time is stopped.
_PACE_STEPS = 20
_LONG_STEPS = 5000
_CHECK_DISK = "check the disk and memory of this machine; a run that goes on could not be resumed"


def require_smoke(job: Job, run: Run) -> None:
    """A long run is not begun before a short one of the same configuration has shown that it works.

    Raises UsageError for 5,000 steps or more without a smoke.json of the same identity in job.out.
    """
    if run.config.training.steps < _LONG_STEPS:
        return
    path = job.out / SMOKE_RUN.name
    found = json.loads(path.read_text(encoding="utf-8"))["identity"] if path.exists() else None
    if found is None or differences_of(found, run.identity):
        raise UsageError(
            f"{run.config.training.steps} steps need a smoke run of the same configuration first, "
            + (f"{path} is of another one" if found else f"there is no {path}"),
            hint="run with --max-steps 20, or with --force to do without",
        )


def write_smoke(job: Job, run: Run, metrics: StepLog) -> None:
    """What a smoke run is for: this configuration ran, so many steps, and how long all of them would take."""
    steps, seconds = len(metrics.rows), seconds_before(metrics)
    if run.ranks.is_main:
        smoke = SmokeRun(
            identity=dict(run.identity),
            steps=steps,
            seconds=seconds,
            projected_hours=seconds / max(steps, 1) * run.config.training.steps / 3600,
            last=TrainingStep.model_validate(metrics.rows[-1]) if metrics.rows else None,
        )
        write_json(job.out / SMOKE_RUN.name, smoke.as_json())


@torch.no_grad()
def verify_checkpoint(run: Run, checkpoint: Path) -> None:
    """Reloads a checkpoint into a new model: its weights and what it says must be the student's, bitwise.

    A run that cannot be resumed should be known at its first checkpoint, not at its last. Raises ExperimentError.
    """
    weights = model_weights(run.student)
    if run.ranks.is_main:
        found = load_file(checkpoint / "weights.safetensors", device=run.device)
        unequal = sorted(name for name, tensor in weights.items() if not torch.equal(tensor, found[name]))
        again = load_model(run.init_folder, device=run.device)
        load_weights(again, found)
        batch = run.heldout.split(1)[0]
        logits = again(**model_inputs(batch), use_cache=False).logits.float()
        if unequal or not bool(logits.isfinite().all()):
            raise ExperimentError(
                f"the first checkpoint does not hold the student: {unequal[:5]} differ", hint=_CHECK_DISK
            )
        # A model in pieces has none to answer with, and a compiled one rounds otherwise.
        if run.config.training.parallel == "ddp" and not run.config.training.compile:
            run.student.eval()
            if not torch.equal(logits, run.student(**model_inputs(batch), use_cache=False).logits.float()):
                raise ExperimentError(
                    "a model made from the first checkpoint answers otherwise than the student", hint=_CHECK_DISK
                )
    run.ranks.barrier()


def refuse_hopeless_pace(run: Run, made: int, done: int, metrics: StepLog) -> None:
    """Raises ExperimentError if all steps would take longer than the budget, once this process has made 20."""
    budget = run.config.budget_hours
    if budget is None or made != _PACE_STEPS or done == run.config.training.steps:
        return
    hours = seconds_before(metrics) / done * run.config.training.steps / 3600
    if hours > budget:
        raise ExperimentError(
            f"at the pace of its first {done} steps the run takes {hours:.1f} h, its budget is {budget:g} h",
            hint="lower steps or batch size, raise budget_hours, or use a faster device",
        )


def non_finite(job: Job, run: Run, step: int, what: str, value: float) -> NonFiniteError:
    """Keeps the state before the step and its batch where they can be looked at; the optimiser has not moved."""
    folder = job.scratch / f"nonfinite-step-{step + 1:08d}"
    indices = run.data.order.batch(step)
    if run.ranks.world_size == 1:
        # Where ranks share a checkpoint's writing, one that failed alone cannot ask the others for theirs.
        save_checkpoint(folder, step, run.student, run.optimizer, run.identity)
    folder.mkdir(parents=True, exist_ok=True)
    batch = {"windows": indices, "tokens": run.data.windows[indices].tolist()}
    write_json(folder / "batch.json", {"step": step + 1, "what": what, "value": str(value), **batch})
    return NonFiniteError(
        f"{what} is {value} at step {step + 1}, expected a finite number; "
        f"the weights before this step and its batch are in {folder}",
        hint="look at batch.json there; then lower training.learning_rate, or raise training.warmup_steps",
    )


def seconds_before(metrics: StepLog) -> float:
    """Wall time of the steps in the log."""
    return float(str(metrics.rows[-1]["wall_s"])) if metrics.rows else 0.0
