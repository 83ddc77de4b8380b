"""The trainer: build -> preflight -> loop (teacher, loss, optimizer, log, evaluate, checkpoint) -> results."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

import torch

from refute.engines.distill.data.packing import Batch, batch_sha256
from refute.engines.distill.logs import StepLog
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.engines.distill.teacher.prefetch import prefetched
from refute.engines.distill.tensorboard import tensorboard_writer
from refute.engines.distill.training.audit_trail import AuditTrail, audit_trail
from refute.engines.distill.training.build import Run, build, reproducible
from refute.engines.distill.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from refute.engines.distill.training.evaluate import HeldoutTeacher, WindowScore, score_windows, summarise
from refute.engines.distill.training.first_step import write_first_step
from refute.engines.distill.training.guards import (
    non_finite,
    refuse_hopeless_pace,
    require_smoke,
    seconds_before,
    verify_checkpoint,
    write_smoke,
)
from refute.engines.distill.training.optimizer import learning_rate, set_learning_rate
from refute.engines.distill.training.parallel import clip_gradients, gradient_accumulation
from refute.engines.distill.training.preflight import preflight
from refute.engines.distill.training.ranks import process_group
from refute.engines.distill.training.results import TrainingResult, is_evaluated, keep_best, write_results
from refute.errors import NonFiniteError, StoppedError
from refute.job import Job, Stop
from refute.spec.experiments.distill import TrainConfig
from refute.spec.experiments.evidence.distill import TrainingStep
from refute.spec.experiments.evidence_files import HELDOUT_EVALUATIONS, STEPS

# The micro-batches of one rank over all steps, each with what the teacher says about it (None without KD).
MicroBatches = Generator[tuple[Batch, TeacherOutput | None], None, None]


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One optimiser step: losses in nat per supervised token, `kl` its divergence at its temperature, None without KD.

    `grad_norm` is the norm before clipping, `tokens` the supervised ones of all ranks. `batch_sha256` is of the ids and
    labels that the first rank's model was given: see `packing.batch_sha256`.
    """

    total: float
    ce: float
    kl: float | None
    grad_norm: float
    tokens: int
    batch_sha256: str

    def row(self, *, step: int, lr: float, attempt: str, tokens_per_s: float, wall_s: float) -> TrainingStep:
        """The step as it is logged: after which step, at which rate and pace, by whom."""
        return TrainingStep(
            step=step,
            lr=lr,
            total=self.total,
            ce=self.ce,
            kl=self.kl,
            grad_norm=self.grad_norm,
            tokens=self.tokens,
            batch_sha256=self.batch_sha256,
            attempt=attempt,
            tokens_per_s=tokens_per_s,
            wall_s=wall_s,
        )


@dataclass(frozen=True, slots=True)
class Logs:
    """This rank's logs: a row of `metrics` for each step, one of `evals` for each evaluation; and what a redo needs."""

    metrics: StepLog
    evals: StepLog
    trail: AuditTrail

    def sync(self) -> None:
        """Returns once the rows are on the disk; call it before the checkpoint that vouches for them."""
        self.metrics.sync()
        self.evals.sync()
        self.trail.sync()


def run_training(
    job: Job,
    config: TrainConfig,
    *,
    max_steps: int | None = None,
    stop: Stop | None = None,
    forced: bool | None = None,
) -> None:
    """Trains the student of `config`; resumes from job.scratch.

    A run that is killed at any moment and started again ends with bitwise the same weights (CPU, same threads).
    Writes model/, metrics.jsonl, evals.jsonl, heldout_windows.jsonl, first_step.safetensors, sample.json,
    preflight.json, summary.json, and what `spec.experiments.custody` describes.
    `max_steps` makes a smoke run: exactly so many steps, smoke.json in job.out, no model. With `forced` False, a run
    of 5,000 steps or more needs the smoke.json of the same configuration; True does without, and is recorded.
    Raises NonFiniteError at the step in which a loss or gradient is NaN or infinite, with the state before
    that step and its batch kept in job.scratch; StoppedError, after a checkpoint, when `stop` is set;
    ExperimentError for parts that do not fit each other, or a pace that cannot keep `budget_hours`.
    """
    with reproducible(config), process_group(config.device) as ranks:
        job.progress("load teacher, student and corpus", 0, 1)
        run = build(config, ranks)
        if max_steps is None and forced is False:
            require_smoke(job, run)
        checks = preflight(run, job.scratch, forced=bool(forced))
        job.progress("score before the first step", 0, 1)
        teacher = None if run.teacher is None else HeldoutTeacher(run.teacher, run.heldout, run.vocab_size)
        trainer = Trainer(job, run, teacher, stop or Stop())
        initial = trainer.evaluate()
        done = trainer.resume()
        limit = config.training.steps if max_steps is None else min(max_steps, config.training.steps)
        with _open_logs(job.scratch, done, run) as logs:
            if done == 0:
                trainer.log_evaluation(logs, 0, initial)
            final = trainer.train(logs, done, limit)
            if max_steps is not None:
                write_smoke(job, run, logs.metrics)
                return
            final = final or trainer.evaluate()
            rows = logs.metrics.rows, logs.evals.rows
            write_results(job, run, TrainingResult(initial, final, *rows, checks, teacher, logs.trail))


@dataclass(frozen=True, slots=True)
class Trainer:
    """Takes the steps of `run`. `teacher` is the run's own on the held-out windows, where it has one.

    `attempt` is fresh: between two steps where it changes, the run was resumed.
    """

    job: Job
    run: Run
    teacher: HeldoutTeacher | None
    stop: Stop
    attempt: str = field(default_factory=lambda: secrets.token_hex(8))

    def train(self, logs: Logs, done: int, limit: int) -> list[WindowScore]:
        """Steps `done` up to `limit`; returns the last held-out scores, or nothing when none were made."""
        run, training, scores = self.run, self.run.config.training, list[WindowScore]()
        began, verified = time.monotonic() - seconds_before(logs.metrics), False
        with closing(self._micro_batches(done, limit)) as micro_batches:
            for step in range(done, limit):
                started = time.monotonic()
                set_learning_rate(run.optimizer, learning_rate(training, step))
                metrics, signal = self._training_step(step, micro_batches)
                rate = metrics.tokens / (time.monotonic() - started)
                self._log_step(logs, step, metrics, tokens_per_s=rate, wall_s=time.monotonic() - began)
                logs.trail.after(step + 1)
                if step == 0:
                    write_first_step(self.job.scratch, run)
                last = step + 1 == training.steps
                if is_evaluated(training, step + 1) or logs.trail.keeps(step + 1):
                    # Without KD the teacher only evaluates, and its forward would be most of such a run's time.
                    scores = self.evaluate(with_teacher=last or training.kd_weight > 0)
                    self.log_evaluation(logs, step + 1, scores)
                if last or signal or (step + 1) % training.checkpoint_every == 0:
                    checkpoint = self._save_checkpoint(logs, step + 1)
                    if not verified:
                        verify_checkpoint(run, checkpoint)
                        verified = True
                self._report(step, metrics, rate)
                if signal and step + 1 < limit:
                    raise self._stopped(step, signal)
                refuse_hopeless_pace(run, step + 1 - done, step + 1, logs.metrics)
        return scores

    def evaluate(self, *, with_teacher: bool = True) -> list[WindowScore]:
        """The student on the held-out windows, and its distance to the teacher."""
        module = self.run.module
        module.eval()

        def logits(batch: Batch) -> torch.Tensor:
            found: torch.Tensor = module(batch, None, None)[0]
            return found

        return score_windows(logits, self.run.heldout, self.teacher if with_teacher else None, self.run.ranks)

    def log_evaluation(self, logs: Logs, step: int, scores: Sequence[WindowScore]) -> None:
        """Writes the means of `scores` down, and keeps the weights if they are the best so far.

        Not those of a step that is evaluated only because its state is kept: which these are is drawn anew in each run,
        and must not decide what is released.
        """
        logs.evals.append(summarise(step, scores).as_json())
        if is_evaluated(self.run.config.training, step):
            keep_best(self.job.scratch, self.run, logs.evals)

    def resume(self) -> int:
        """Restores the last checkpoint, if there is one; returns the number of steps done."""
        run, latest = self.run, latest_checkpoint(self.job.scratch / "checkpoints")
        return 0 if latest is None else load_checkpoint(latest, run.student, run.optimizer, run.identity, run.ranks)

    def _micro_batches(self, done: int, limit: int) -> MicroBatches:
        """Every micro-batch of this rank, in order, on its device, with what the teacher says about it."""
        run, config = self.run, self.run.config

        def batches() -> Iterator[Batch]:
            for step in range(done, limit):
                for batch in run.data.micro_batches(run.data.batch(step)):
                    yield batch.to(run.device)

        if run.provider is None:
            yield from ((batch, None) for batch in batches())
            return
        patience = config.training.teacher_patience_s
        yield from prefetched(
            run.provider.answer, batches(), depth=config.depth, device=run.device, patience_s=patience
        )

    def _training_step(self, step: int, micro_batches: MicroBatches) -> tuple[StepMetrics, int]:
        """One optimiser step, every micro-batch divided by the step's own supervised tokens; and a signal, or 0."""
        run, training, ranks = self.run, self.run.config.training, self.run.ranks
        # Cut again rather than carried along: what comes out of the teacher's thread are micro-batches.
        whole_batch = run.data.batch(step)
        tokens, count = whole_batch.supervised, len(run.data.micro_batches(whole_batch))
        run.module.train()
        run.optimizer.zero_grad(set_to_none=True)
        # Ranks average their gradients; the sum is wanted.
        sums, given = self._accumulate_gradients(step, micro_batches, count, max(tokens, 1) / ranks.world_size)
        total, ce, kl, signal = ranks.all_reduce(sums.to(run.device)).tolist()
        if not math.isfinite(total):
            raise non_finite(self.job, run, step, "loss", total)
        grad_norm = clip_gradients(run.module, training.max_grad_norm)
        if not math.isfinite(grad_norm):
            raise non_finite(self.job, run, step, "gradient norm", grad_norm)
        run.optimizer.step()
        metrics = StepMetrics(
            total=total / ranks.world_size,
            ce=ce / max(tokens, 1),
            kl=kl / max(tokens, 1) if training.kd_weight > 0 else None,
            grad_norm=grad_norm,
            tokens=tokens,
            batch_sha256=batch_sha256(given),
        )
        # Any rank's signal stops all of them, at the same step; those that got none themselves call it SIGTERM.
        return metrics, (self.stop.signal or SIGTERM) if signal else 0

    def _accumulate_gradients(
        self, step: int, micro_batches: MicroBatches, count: int, denominator: float
    ) -> tuple[torch.Tensor, list[Batch]]:
        """Forward and backward of `count` micro-batches: sums [total, CE, KL, signal] of this rank, and the batches."""
        run = self.run
        sums, given = torch.zeros(4, dtype=torch.float64), list[Batch]()
        for number in range(1, count + 1):
            try:
                batch, teacher_output = next(micro_batches)
            except NonFiniteError as error:
                raise non_finite(self.job, run, step, f"teacher ({error})", math.nan) from error
            given.append(batch)
            with gradient_accumulation(run.module, last=number == count):
                total, ce, kl, supervised = run.module(batch, teacher_output, denominator)
                torch.autograd.backward(total)
            parts = torch.stack((total.detach().float(), ce * supervised, kl * supervised))
            sums[:3] += parts.to("cpu", torch.float64)
        sums[3] = self.stop.signal
        return sums, given

    def _log_step(self, logs: Logs, step: int, metrics: StepMetrics, *, tokens_per_s: float, wall_s: float) -> None:
        # From the optimiser: the rate that was used, not the one that was meant.
        applied = float(self.run.optimizer.param_groups[0]["lr"])
        row = metrics.row(step=step + 1, lr=applied, attempt=self.attempt, tokens_per_s=tokens_per_s, wall_s=wall_s)
        logs.metrics.append(row.as_json())

    def _report(self, step: int, metrics: StepMetrics, rate: float) -> None:
        kl = {} if metrics.kl is None else {"kl": metrics.kl}
        steps = self.run.config.training.steps
        self.job.progress("distil", step + 1, steps, loss=metrics.total, ce=metrics.ce, **kl, tokens_per_s=rate)

    def _save_checkpoint(self, logs: Logs, step: int) -> Path:
        run = self.run
        logs.sync()
        folder, keep = self.job.scratch / "checkpoints", run.config.training.keep_checkpoints
        return save_checkpoint(folder, step, run.student, run.optimizer, run.identity, run.ranks, keep=keep)

    def _stopped(self, step: int, signal: int) -> StoppedError:
        return StoppedError(
            f"stopped after step {step + 1} of {self.run.config.training.steps}; "
            f"its checkpoint is in {self.job.scratch}",
            signal,
            hint="run again to continue",
        )


@contextmanager
def _open_logs(scratch: Path, done: int, run: Run) -> Iterator[Logs]:
    """The first rank's logs; the others keep theirs beside them, so that every rank knows every row."""
    ranks = run.ranks
    folder = scratch if ranks.is_main else scratch / f"rank-{ranks.rank}"
    folder.mkdir(parents=True, exist_ok=True)
    # Step 0 is evaluated again by every attempt, and belongs to a run only once it has a checkpoint.
    keep_until = done if done else -1
    with (
        tensorboard_writer(run.config.tensorboard if ranks.is_main else None) as write_scalars,
        closing(StepLog(folder / STEPS.name, keep_until=keep_until, on_row=write_scalars)) as metrics,
        closing(StepLog(folder / HELDOUT_EVALUATIONS.name, keep_until=keep_until, on_row=write_scalars)) as evals,
        audit_trail(scratch, run, done) as trail,
    ):
        yield Logs(metrics, evals, trail)
