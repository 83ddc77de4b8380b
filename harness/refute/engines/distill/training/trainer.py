"""The KD run: config -> build -> preflight -> loop (teacher, loss, step, evaluate, checkpoint) -> save."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGTERM

import torch

from refute.engines.distill.data.packing import Batch, batch_sha256
from refute.engines.distill.logs import StepLog
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.engines.distill.teacher.prefetch import prefetched
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
from refute.engines.distill.training.results import Finished, keep_best, write_results
from refute.engines.distill.training.tensorboard import tensorboard_writer
from refute.errors import NonFiniteError, StoppedError
from refute.job import Job, Stop
from refute.spec.experiments.distill import TrainConfig

Feed = Generator[tuple[Batch, TeacherOutput | None], None, None]


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: losses in nat per supervised token, `kl` at the run's temperature, None without KD.

    `batch_sha256` is of the ids and labels that the first rank's model was given: see `packing.batch_sha256`.
    """

    total: float
    ce: float
    kl: float | None
    grad_norm: float
    tokens: int
    batch_sha256: str


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
    preflight.json and summary.json.
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
        ready = preflight(run, job.scratch, forced=bool(forced))
        job.progress("score before the first step", 0, 1)
        judge = None
        heldout = run.pack(run.heldout)
        if run.teacher is not None:
            judge = HeldoutTeacher(run.teacher, heldout, run.vocab_size)
        initial = _score(run, heldout, judge)
        done = _resume(job, run)
        limit = config.training.steps if max_steps is None else min(max_steps, config.training.steps)
        with _logs(job.scratch, done, run) as (metrics, evals):
            if done == 0:
                evals.append(asdict(summarise(0, initial)))
                keep_best(job.scratch, run, evals)
            final = _loop(job, run, Course(done, limit, stop or Stop()), heldout, judge, metrics, evals)
            if max_steps is not None:
                write_smoke(job, run, metrics)
                return
            scores = final or _score(run, heldout, judge)
            write_results(job, run, Finished(initial, scores, metrics.rows, evals.rows, ready, judge))


@dataclass(frozen=True, slots=True)
class Course:
    """Which steps are to be made: from `done` up to `limit`."""

    done: int
    limit: int
    stop: Stop


def _loop(
    job: Job,
    run: Run,
    course: Course,
    heldout: Batch,
    judge: HeldoutTeacher | None,
    metrics: StepLog,
    evals: StepLog,
) -> list[WindowScore]:
    """The steps of `course`; returns the final held-out scores, or nothing when no step was left."""
    training, scores = run.config.training, list[WindowScore]()
    began = time.monotonic() - seconds_before(metrics)
    first_checkpoint = True
    with closing(_feed(run, course)) as feed:
        for step in range(course.done, course.limit):
            started = time.monotonic()
            set_learning_rate(run.optimizer, learning_rate(training, step))
            result, stopping = _step(job, run, step, feed, course.stop)
            rate = result.tokens / (time.monotonic() - started)
            # From the optimiser: the rate that was used, not the one that was meant.
            applied = float(run.optimizer.param_groups[0]["lr"])
            row = {"step": step + 1, "lr": applied, **asdict(result), "tokens_per_s": rate}
            metrics.append(row | {"wall_s": time.monotonic() - began})
            if step == 0:
                write_first_step(job.scratch, run)
            last = step + 1 == training.steps
            if last or (step + 1) % training.eval_every == 0:
                # Without KD the teacher only judges, and its forward would be most of such a run's time.
                scores = _score(run, heldout, judge if last or training.kd_weight > 0 else None)
                evals.append(asdict(summarise(step + 1, scores)))
                keep_best(job.scratch, run, evals)
            if last or stopping or (step + 1) % training.checkpoint_every == 0:
                metrics.sync()
                evals.sync()
                place = _save(job, run, step + 1)
                if first_checkpoint:
                    verify_checkpoint(run, place)
                    first_checkpoint = False
            kl = {} if result.kl is None else {"kl": result.kl}
            job.progress("distil", step + 1, training.steps, loss=result.total, ce=result.ce, **kl, tokens_per_s=rate)
            if stopping and step + 1 < course.limit:
                raise StoppedError(
                    f"stopped after step {step + 1} of {training.steps}; its checkpoint is in {job.scratch}",
                    stopping,
                    hint="run again to continue",
                )
            refuse_hopeless_pace(run, step + 1 - course.done, step + 1, metrics)
    return scores


def _feed(run: Run, course: Course) -> Feed:
    """Every micro-batch of this rank, in order, on its device, with what the teacher says about it."""

    def batches() -> Iterator[Batch]:
        for step in range(course.done, course.limit):
            for batch in run.share(run.batch(step)):
                yield batch.to(run.device)

    if run.provider is None:
        yield from ((batch, None) for batch in batches())
        return
    patience = run.config.training.teacher_patience_s
    depth, device = run.config.depth, run.device
    yield from prefetched(run.provider.answer, batches(), depth=depth, device=device, patience_s=patience)


def _step(job: Job, run: Run, step: int, feed: Feed, stop: Stop) -> tuple[Step, int]:
    """One optimiser step, every micro-batch divided by the step's own supervised tokens; and a signal, or 0."""
    training, ranks = run.config.training, run.ranks
    whole_batch = run.batch(step)
    tokens, share = whole_batch.supervised, len(run.share(whole_batch))
    # Ranks average their gradients; the sum is wanted.
    denominator = max(tokens, 1) / ranks.world_size
    sums, given = torch.zeros(4, dtype=torch.float64), list[Batch]()
    run.module.train()
    run.optimizer.zero_grad(set_to_none=True)
    for part in range(share):
        try:
            batch, answer = next(feed)
        except NonFiniteError as error:
            raise non_finite(job, run, step, f"teacher ({error})", math.nan) from error
        given.append(batch)
        with gradient_accumulation(run.module, last=part + 1 == share):
            total, ce, kl, supervised = run.module(batch, answer, denominator)
            torch.autograd.backward(total)
        parts = torch.stack((total.detach().float(), ce * supervised, kl * supervised))
        sums[:3] += parts.to("cpu", torch.float64)
    sums[3] = stop.signal
    total, ce, kl, signal = ranks.all_reduce(sums.to(run.device)).tolist()
    if not math.isfinite(total):
        raise non_finite(job, run, step, "loss", total)
    grad_norm = clip_gradients(run.module, training.max_grad_norm)
    if not math.isfinite(grad_norm):
        raise non_finite(job, run, step, "gradient norm", grad_norm)
    run.optimizer.step()
    count = max(tokens, 1)
    kl_mean = kl / count if training.kd_weight > 0 else None
    asked = (stop.signal or SIGTERM) if signal else 0
    return Step(total / ranks.world_size, ce / count, kl_mean, grad_norm, tokens, batch_sha256(given)), asked


def _score(run: Run, heldout: Batch, judge: HeldoutTeacher | None) -> list[WindowScore]:
    run.module.eval()

    def logits(batch: Batch) -> torch.Tensor:
        found: torch.Tensor = run.module(batch, None, None)[0]
        return found

    return score_windows(logits, heldout, judge, run.ranks)


def _save(job: Job, run: Run, step: int) -> Path:
    return save_checkpoint(job.scratch / "checkpoints", step, run.student, run.optimizer, run.identity, run.ranks)


def _resume(job: Job, run: Run) -> int:
    """Restores the last checkpoint, if there is one; returns the number of steps done."""
    latest = latest_checkpoint(job.scratch / "checkpoints")
    if latest is None:
        return 0
    return load_checkpoint(latest, run.student, run.optimizer, run.identity, run.ranks)


@contextmanager
def _logs(scratch: Path, done: int, run: Run) -> Iterator[tuple[StepLog, StepLog]]:
    """The first rank's logs; the others keep theirs beside them, so that every rank knows every row."""
    ranks = run.ranks
    folder = scratch if ranks.is_main else scratch / f"rank-{ranks.rank}"
    folder.mkdir(parents=True, exist_ok=True)
    # Step 0 is evaluated again by every attempt, and belongs to a run only once it has a checkpoint.
    keep_until = done if done else -1
    with (
        tensorboard_writer(run.config.tensorboard if ranks.is_main else None) as mirror,
        closing(StepLog(folder / "metrics.jsonl", keep_until=keep_until, mirror=mirror)) as metrics,
        closing(StepLog(folder / "evals.jsonl", keep_until=keep_until, mirror=mirror)) as evals,
    ):
        yield metrics, evals
