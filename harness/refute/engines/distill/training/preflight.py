"""Before the first step: does it fit, is it the run that was meant, and is the loss the one that is claimed?"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from refute.engines.distill.certificate.reference import log_shares, reference_divergence
from refute.engines.distill.data.packing import IGNORED, Batch
from refute.engines.distill.document_mask import refuse_crossing
from refute.engines.distill.loss.teacher_forms import TopK
from refute.engines.distill.training.build import Run
from refute.engines.model.folder import count_parameters
from refute.engines.model.vocabulary import dropped_mass
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.experiments.custody import KEPT
from refute.spec.experiments.evidence.distill import Preflight
from refute.spec.experiments.training import Training

# nat per supervised token; bfloat16 student states at V = 151,936 stay below it.
LARGEST_DIFFERENCE = 0.01
_FLOAT = 4  # bytes
_ROWS_AT_ONCE = 32

# A float32 student with its gradient and AdamW's two moments.
_COPIES_IN_MEMORY = 4

# Weights and two moments: of each checkpoint, of a new one that is whole before the oldest goes, and of kept states.
_COPIES_OF_A_STATE = 3


def preflight(run: Run, folder: Path, *, forced: bool) -> Preflight:
    """Measure and refuse.

    Raises ExperimentError when memory or disk cannot suffice, or when the loss of the first window differs from one
    written a second time, densely, in float64, by more than 0.01 nat per supervised token, or when a model reads across
    the documents that a mask should keep apart; NonFiniteError when the loss is not a number.
    """
    training, ranks = run.config.training, run.ranks
    parameters = count_parameters(run.student)
    # The student's weights and the teacher are in memory already; gradient and moments are still to come.
    needed = memory_to_come(parameters, training, ranks.world_size)
    disk = disk_needed(parameters, training)
    available, free = _available_memory(run.device), shutil.disk_usage(folder).free
    if needed > available:
        raise _too_little_memory(run, needed, available)
    if disk > free:
        raise ExperimentError(
            f"checkpoints and the model need {_gb(disk)}, {folder} has {_gb(free)} free", hint="free some space"
        )
    if training.document_mask:
        _refuse_crossing(run)
    loss, reference, dropped = _compare(run)
    _refuse_other_loss(loss, reference)
    per_step = training.batch_size * (training.seq_len - 1)
    return Preflight(
        student_parameters=parameters,
        teacher_parameters=None if run.teacher is None else run.teacher.parameters,
        memory_needed=needed,
        memory_available=available,
        disk_needed=disk,
        disk_free=free,
        windows=len(run.data.windows),
        steps=training.steps,
        tokens_per_step=per_step,
        tokens=per_step * training.steps,
        epochs=training.steps * training.batch_size / len(run.data.windows),
        tokens_per_parameter=per_step * training.steps / parameters,
        teacher_rows=None if run.teacher is None else run.teacher.vocab_rows,
        student_rows=run.vocab_size,
        dropped_mass=dropped,
        loss=loss,
        reference_loss=reference,
        forced_without_smoke=forced,
    )


def memory_to_come(parameters: int, training: Training, ranks: int) -> int:
    """Bytes of gradient and moments on each rank, beside the weights."""
    return parameters * _FLOAT * (_COPIES_IN_MEMORY - 1) // (ranks if training.parallel == "fsdp" else 1)


def disk_needed(parameters: int, training: Training) -> int:
    """Bytes of checkpoints, kept states, best weights and the model."""
    states = _COPIES_OF_A_STATE * (training.keep_checkpoints + 1 + KEPT + 1)
    return parameters * _FLOAT * (states + (2 if training.keep == "best" else 0) + 1)


def _refuse_crossing(run: Run) -> None:
    """Before a mask is relied on, a neighbour is exchanged for the models that are in use."""
    ids, dtype = run.data.window(0).ids.to(run.device), run.config.training.dtype

    def student(ids: Tensor, positions: Tensor) -> Tensor:
        logits: Tensor = run.module(Batch(ids, ids, positions), None, None)[0]
        return logits

    refuse_crossing("student", student, ids, dtype=dtype)
    if run.teacher is not None:
        refuse_crossing("teacher", run.teacher.logits, ids, dtype=dtype)


def _too_little_memory(run: Run, needed: int, available: int) -> ExperimentError:
    teacher_bytes = 0 if run.teacher is None else run.teacher.size
    return ExperimentError(
        f"gradient and optimiser need {_gb(needed)} beside {_gb(teacher_bytes)} of teacher, "
        f"{run.device} has {_gb(available)} left",
        hint="use more ranks with training.parallel: fsdp, a smaller student, or a larger device",
    )


def _refuse_other_loss(loss: float, reference: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(reference)):
        raise NonFiniteError(
            f"the loss of the first window is {loss}, by the reference {reference}",
            hint="teacher or init hold weights that are not finite: fetch them again; or the teacher rules tokens out "
            "(logits of -inf), where training.divergence: reverse_kl is infinite and jensen_shannon is not",
        )
    if abs(loss - reference) > LARGEST_DIFFERENCE:
        raise ExperimentError(
            f"before the first step, the loss of one window is {loss:.6f} nat/token, by the reference "
            f"implementation {reference:.6f}: they may differ by {LARGEST_DIFFERENCE}",
            hint="`refute distill certify` shows in which respect this loss is wrong on this device",
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _available_memory(device: str) -> int:
    if device != "cpu":
        return int(torch.cuda.mem_get_info(device)[0])
    listing = Path("/proc/meminfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    # Elsewhere than on Linux only what the machine has is known.
    return found[0] if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@torch.no_grad()
def _compare(run: Run) -> tuple[float, float, float | None]:
    """This run's loss on its first window, the reference's, and the teacher's mass beyond the student's vocabulary."""
    batch = run.data.window(0).to(run.device)
    answer = None if run.provider is None else run.provider.answer(batch)
    loss = run.module(batch, answer, float(max(batch.supervised, 1)))[0].item()
    dropped = None
    teacher_logits = None
    if run.teacher is not None:
        everything = run.teacher.logits(batch.ids, batch.positions)[0]
        dropped = dropped_mass(everything, run.vocab_size).mean().item()
        teacher_logits = everything[:, : run.vocab_size]
    student_logits = run.module(batch, None, None)[0][0]
    entries = None if answer is None else answer.topk
    return loss, _reference(run, batch, student_logits, teacher_logits, entries), dropped


def _reference(run: Run, batch: Batch, logits: Tensor, teacher_logits: Tensor | None, entries: TopK | None) -> float:
    """ce_weight * CE + kd_weight * T^2 * divergence by torch's own functions, in float64 on the CPU.

    `entries` are what a cache kept: then the divergence is between these tokens and any other, of the teacher where it
    is here.
    """
    labels = batch.labels[0].cpu()
    known = (labels != IGNORED).nonzero().flatten()
    temperature = run.config.training.temperature

    def parts(rows: Tensor) -> float:
        kept = None if entries is None else _rows(entries.ids, rows)
        log_p = None
        if teacher_logits is not None:
            log_p = log_shares(_rows(teacher_logits, rows), temperature)
            log_p = log_p if kept is None else _lumped(log_p, kept)
        elif entries is not None:
            log_p = _told(_rows(entries.logits, rows).double(), _rows(entries.tail, rows).double(), temperature)
            log_p = log_p if entries.ids.shape[1] < logits.shape[1] else log_p[:, :-1]
        return _dense_loss(run.config.training, _rows(logits, rows).double(), labels[rows], log_p, kept)

    # So many rows at a time that a vocabulary of 151,936 in float64 takes little beside the logits themselves.
    return math.fsum(map(parts, torch.split(known, _ROWS_AT_ONCE))) / max(len(known), 1)


def _dense_loss(training: Training, z: Tensor, labels: Tensor, log_p: Tensor | None, kept: Tensor | None) -> float:
    """The loss of student logits (n, V), summed over the n positions; `log_p` are the teacher's log-probabilities."""
    total = training.ce_weight * functional.cross_entropy(z, labels, reduction="sum").item()
    if training.kd_weight > 0 and log_p is not None:
        temperature = training.temperature
        log_q = log_shares(z, temperature)
        log_q = log_q if kept is None else _lumped(log_q, kept)
        apart = reference_divergence(log_p, log_q, training.divergence, training.beta)
        total += training.kd_weight * temperature**2 * apart.sum().item()
    return total


def _told(logits: Tensor, tail: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (n, k + 1) of the entries of a cache, and of any other token."""
    return torch.cat([logits / temperature, tail[:, None]], dim=-1).log_softmax(dim=-1)


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor[rows.to(tensor.device)].cpu()


def _lumped(log_probs: Tensor, kept: Tensor) -> Tensor:
    """Log-probabilities of the `kept` ids and of all others together; those are left out where there are none."""
    parts = [log_probs.gather(1, kept)]
    if kept.shape[1] < log_probs.shape[1]:
        parts.append(log_probs.scatter(1, kept, -torch.inf).logsumexp(dim=-1, keepdim=True))
    return torch.cat(parts, dim=-1)
