"""The KD run: config -> prepare -> loop (batch, loss, step, evaluate, checkpoint) -> model folder and logs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from refute.distill.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from refute.distill.evaluate import (
    TeacherOnWindows,
    WindowScore,
    greedy_sample,
    score_windows,
    summarise,
)
from refute.distill.folder import count_parameters, load_model, save_model
from refute.distill.logs import StepLog, write_json, write_rows
from refute.distill.loss import KdLoss, kd_loss
from refute.distill.preparation import Run, TrainConfig, head_weight, hidden_states, prepare_run, reproducible
from refute.distill.schedule import learning_rate, set_learning_rate
from refute.errors import NonFiniteError
from refute.job import Job


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: losses in nat per supervised token, `kl` at the run's temperature, None without KD."""

    total: float
    ce: float
    kl: float | None
    grad_norm: float
    tokens: int


def train(job: Job) -> None:
    """Trains the student of a TrainConfig from inputs `init` and `corpus`; resumes from job.scratch.

    A run that is killed at any moment and started again ends with bitwise the same weights (CPU, same
    threads). Writes model/, metrics.jsonl, evals.jsonl, heldout_windows.jsonl, sample.json and summary.json.
    Raises NonFiniteError at the step in which a loss or gradient is NaN or infinite, with the state before
    that step and its batch kept in job.scratch; ExperimentError for parts that do not fit each other.
    """
    config = TrainConfig.model_validate_json(job.config)
    with reproducible(config):
        run = prepare_run(job)
        judge = None
        if run.teacher is not None:
            judge = TeacherOnWindows(run.teacher, run.heldout, run.vocab_size)
        initial = score_windows(run.student, run.heldout, judge)
        done = _resume(job, run)
        with _logs(job.scratch, done) as (metrics, evals):
            if done == 0:
                evals.append(asdict(summarise(0, initial)))
            final = _loop(job, run, judge, done, metrics, evals) or score_windows(run.student, run.heldout, judge)
            _write_results(job, run, initial, final, metrics, evals)


def _loop(
    job: Job, run: Run, judge: TeacherOnWindows | None, done: int, metrics: StepLog, evals: StepLog
) -> list[WindowScore]:
    """Steps `done` to the end; returns the final held-out scores, or nothing when no step was left."""
    training, scores = run.config.training, list[WindowScore]()
    began = time.monotonic() - _seconds_before(metrics)
    for step in range(done, training.steps):
        started = time.monotonic()
        set_learning_rate(run.optimizer, learning_rate(training, step))
        result = _step(job, run, step)
        rate = result.tokens / (time.monotonic() - started)
        row = {"step": step + 1, "lr": learning_rate(training, step), **asdict(result), "tokens_per_s": rate}
        metrics.append(row | {"wall_s": time.monotonic() - began})
        last = step + 1 == training.steps
        if last or (step + 1) % training.eval_every == 0:
            # Without KD the teacher only judges, and its forward would be most of such a run's time.
            scores = score_windows(run.student, run.heldout, judge if last or training.kd_weight > 0 else None)
            evals.append(asdict(summarise(step + 1, scores)))
        if last or (step + 1) % training.checkpoint_every == 0:
            metrics.sync()
            evals.sync()
            save_checkpoint(job.scratch / "checkpoints", step + 1, run.student, run.optimizer, run.identity)
        kl = {} if result.kl is None else {"kl": result.kl}
        job.progress("distil", step + 1, training.steps, loss=result.total, ce=result.ce, **kl, tokens_per_s=rate)
    return scores


def _step(job: Job, run: Run, step: int) -> Step:
    """One optimiser step over micro-batches, all divided by the step's own number of supervised tokens."""
    training = run.config.training
    indices = run.order.batch(step)
    batch = run.windows[indices].to(run.student.device)
    tokens = batch.shape[0] * (batch.shape[1] - 1)
    total = ce = kl = 0.0
    run.student.train()
    run.optimizer.zero_grad(set_to_none=True)
    for ids in torch.split(batch, training.micro_batch_size):
        try:
            loss = _micro_loss(run, ids, tokens)
        except NonFiniteError as error:
            raise _non_finite(job, run, step, indices, f"teacher ({error})", math.nan) from error
        if not math.isfinite(loss.total.item()):
            raise _non_finite(job, run, step, indices, "loss", loss.total.item())
        torch.autograd.backward(loss.total)
        share = loss.supervised_tokens / tokens
        total += loss.total.item()
        ce += loss.ce.item() * share
        kl += loss.kl.item() * share
    grad_norm = torch.nn.utils.clip_grad_norm_(run.student.parameters(), training.max_grad_norm).item()
    if not math.isfinite(grad_norm):
        raise _non_finite(job, run, step, indices, "gradient norm", grad_norm)
    run.optimizer.step()
    return Step(total, ce, kl if training.kd_weight > 0 else None, grad_norm, tokens)


def _micro_loss(run: Run, ids: Tensor, tokens: int) -> KdLoss:
    """The loss of windows `ids`: every position but the last predicts the next id."""
    training = run.config.training
    inputs, labels = ids[:, :-1], ids[:, 1:].flatten()
    teacher_logits = None
    if run.teacher is not None and training.kd_weight > 0:
        teacher_logits = run.teacher.logits(inputs).flatten(0, 1)
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=training.dtype == "bfloat16"):
        hidden = hidden_states(run.student, inputs).flatten(0, 1)
    return kd_loss(
        hidden,
        head_weight(run.student),
        teacher_logits,
        labels,
        ce_weight=training.ce_weight,
        kd_weight=training.kd_weight,
        temperature=training.temperature,
        denominator=tokens,
    )


def _resume(job: Job, run: Run) -> int:
    """Restores the last checkpoint, if there is one; returns the number of steps done."""
    latest = latest_checkpoint(job.scratch / "checkpoints")
    return 0 if latest is None else load_checkpoint(latest, run.student, run.optimizer, run.identity)


@contextmanager
def _logs(scratch: Path, done: int) -> Iterator[tuple[StepLog, StepLog]]:
    scratch.mkdir(parents=True, exist_ok=True)
    # Step 0 is evaluated again by every attempt, and belongs to a run only once it has a checkpoint.
    keep_until = done if done else -1
    with (
        closing(StepLog(scratch / "metrics.jsonl", keep_until=keep_until)) as metrics,
        closing(StepLog(scratch / "evals.jsonl", keep_until=keep_until)) as evals,
    ):
        yield metrics, evals


def _seconds_before(metrics: StepLog) -> float:
    return float(str(metrics.rows[-1]["wall_s"])) if metrics.rows else 0.0


def _non_finite(job: Job, run: Run, step: int, indices: list[int], what: str, value: float) -> NonFiniteError:
    """Keeps the state before the step and its batch where they can be looked at; the optimiser has not moved."""
    folder = job.scratch / f"nonfinite-step-{step + 1:08d}"
    save_checkpoint(folder, step, run.student, run.optimizer, run.identity)
    batch = {"windows": indices, "tokens": run.windows[indices].tolist()}
    write_json(folder / "batch.json", {"step": step + 1, "what": what, "value": str(value), **batch})
    return NonFiniteError(
        f"{what} is {value} at step {step + 1}, expected a finite number; "
        f"the weights before this step and its batch are in {folder}",
        hint="look at batch.json there; then lower training.learning_rate, or raise training.warmup_steps",
    )


def _write_results(
    job: Job, run: Run, initial: list[WindowScore], final: list[WindowScore], metrics: StepLog, evals: StepLog
) -> None:
    job.progress("save", 0, 1)
    write_rows(job.out / "metrics.jsonl", metrics.rows)
    write_rows(job.out / "evals.jsonl", evals.rows)
    write_rows(
        job.out / "heldout_windows.jsonl",
        [
            {"window": after.window, "ce_initial": before.ce, "ce": after.ce, "kl": after.kl}
            for before, after in zip(initial, final, strict=True)
        ],
    )
    save_model(run.student, job.out / "model", tokenizer_from=run.init_folder)
    write_json(job.out / "sample.json", greedy_sample(run.student, run.tokenizer))
    write_json(job.out / "summary.json", _summary(run, initial, final, metrics, evals))
    job.progress("save", 1, 1)


def _summary(
    run: Run, initial: list[WindowScore], final: list[WindowScore], metrics: StepLog, evals: StepLog
) -> dict[str, object]:
    """What ran, from the objects that ran it: sizes, devices and effective configuration, not the request."""
    first, last = summarise(0, initial), summarise(run.config.training.steps, final)
    best = min(evals.rows, key=lambda row: (float(str(row["heldout_ce"])), int(str(row["step"]))))
    tokens = sum(int(str(row["tokens"])) for row in metrics.rows)
    stepping_s = sum(float(str(row["tokens"])) / float(str(row["tokens_per_s"])) for row in metrics.rows)
    before = dict(load_model(run.init_folder, device=run.config.device).named_parameters())
    after = dict(run.student.named_parameters())
    parameter = next(run.student.parameters())
    return {
        "steps": len(metrics.rows),
        "supervised_tokens": tokens,
        "initial_heldout_ce": first.heldout_ce,
        "final_heldout_ce": last.heldout_ce,
        "initial_heldout_kl": first.heldout_kl,
        "final_heldout_kl": last.heldout_kl,
        "initial_probe_cosine": first.probe_cosine,
        "final_probe_cosine": last.probe_cosine,
        "best_heldout_ce": best["heldout_ce"],
        "best_step": best["step"],
        "eval_windows": last.windows,
        "parameters": count_parameters(run.student),
        "tensors": len(after),
        "changed_tensors": sum(not torch.equal(before[name], tensor) for name, tensor in after.items()),
        "teacher_sha256": run.teacher_sha256,
        "wall_s": _seconds_before(metrics),
        "tokens_per_s": tokens / stepping_s,
        "device": parameter.device.type,
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "torch_version": torch.__version__,
        "threads": torch.get_num_threads(),
        "seed": run.order.seed,
        "effective_config": run.config.training.model_dump(mode="json"),
    }
