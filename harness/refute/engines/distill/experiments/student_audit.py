"""Experiment: a finished run, done over by other means where that is cheap.

Nothing of the training loop, its loss, packing, order of data or evaluation is called: the first step is torch's own
functions on all logits at once, the held-out losses are numpy's on the released files. What the run says of itself is
compared with this by a falsifier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel

from refute.engines.distill.logs import write_json, write_rows
from refute.engines.distill.teacher.interface import TeacherModel
from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.distill.training.first_step import sample_indices
from refute.engines.model.forward.numpy_forward import Reference, open_weights
from refute.engines.model.progress_bars import without_progress_bars
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.distill import StudentAuditConfig
from refute.spec.experiments.evidence.distill import BatchDigest, FirstStep, TensorComparison, WindowAgain
from refute.spec.experiments.evidence_files import (
    BATCHES,
    FIRST_STEP_AGAIN,
    FIRST_STEP_TENSORS_AGAIN,
    HELDOUT_SCORES_AGAIN,
    TENSORS,
)
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import GgufModel, Training

# What transformers and torch take for "no label here".
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over supervised tokens; `total` is differentiable."""

    total: Tensor
    ce: float
    kl: float
    tokens: int


def audit_student(job: Job) -> None:
    """Redo the first step from inputs `init` and `corpus`, and score the files of `init` and `student` again.

    Writes first_step.safetensors (the sampled gradient, clipped as declared, and the weights before the step,
    float32), first_step.json {ce, kl, total, tokens, grad_norm}, batches.jsonl {step, batch_sha256}, heldout.jsonl
    {window, ce_initial, ce} in nat per token for the first windows, and tensors.json {tensors, unchanged}. Raises
    ExperimentError for a model or corpus that is not whole.
    """
    config = parse_config(StudentAuditConfig, job)
    torch.set_num_threads(config.threads)
    init, released = (job.inputs[name].path("model") for name in ("init", "student"))
    corpus = job.inputs["corpus"]
    manifest = json.loads(corpus.path("manifest.json").read_text(encoding="utf-8"))
    end = manifest["end_of_document"] if config.training.document_mask else None
    windows = {split: load_file(corpus.path(f"{split}.safetensors"))["tokens"] for split in ("train", "heldout")}
    job.progress("redo the first step", 0, 2)
    _redo_first_step(job.out, config, init, windows["train"], end)
    digests = _digests(windows["train"], config, end)
    due = [BatchDigest(step=step, batch_sha256=each) for step, each in enumerate(digests, start=1)]
    write_rows(job.out / BATCHES.name, [each.as_json() for each in due])
    write_json(job.out / TENSORS.name, _compare_tensors(init, released).as_json())
    job.progress("score the files again", 1, 2)
    before, after = (Reference(open_weights(folder)) for folder in (init, released))
    rows = [
        WindowAgain(window=number, ce_initial=_cross_entropy(before, ids, end), ce=_cross_entropy(after, ids, end))
        for number, ids in enumerate(windows["heldout"][: min(config.windows, config.training.eval_windows)])
    ]
    write_rows(job.out / HELDOUT_SCORES_AGAIN.name, [each.as_json() for each in rows])
    job.progress("score the files again", 2, 2)


def batches(windows: int, training: Training) -> Iterator[list[int]]:
    """The windows of each step: epoch after epoch, each in the order of SHA-256 of "seed/epoch/window"."""
    rest, epoch = list[int](), 0
    for _ in range(training.steps):
        while len(rest) < training.batch_size:
            keys = {
                each: hashlib.sha256(f"{training.seed}/{epoch}/{each}".encode()).digest() for each in range(windows)
            }
            rest += sorted(keys, key=lambda each: keys[each])
            epoch += 1
        yield rest[: training.batch_size]
        rest = rest[training.batch_size :]


def _digests(train: NDArray[np.int32], config: StudentAuditConfig, end: int | None) -> Iterator[str]:
    """What metrics.jsonl must say of each step's batch: SHA-256 over micro-batches of the first process's share."""
    training, size = config.training, config.training.micro_batch_size
    for chosen in batches(len(train), training):
        found = hashlib.sha256()
        for start in range(0, len(chosen), size * config.processes):
            given = train[chosen[start : start + size]]
            ids, labels = given[:, :-1], given[:, 1:].copy()
            if end is not None:
                labels[ids == end] = _IGNORED
            found.update(ids.astype("<i4").tobytes() + labels.astype("<i4").tobytes())
        yield found.hexdigest()


def _redo_first_step(
    out: Path, config: StudentAuditConfig, init: Path, train: NDArray[np.int32], end: int | None
) -> None:
    training = config.training
    student = _student(init, config.device)
    teacher = _teacher(config) if training.kd_weight > 0 else None
    total, ce, kl, tokens = 0.0, 0.0, 0.0, 0
    for number in next(batches(len(train), training)):
        for text in _texts(train[number], end):
            sums = _loss(student, teacher, torch.from_numpy(text.astype(np.int64))[None].to(config.device), training)
            torch.autograd.backward(sums.total)
            total, ce, kl, tokens = total + sums.total.item(), ce + sums.ce, kl + sums.kl, tokens + sums.tokens
    gradients = {
        name: torch.zeros_like(each) if each.grad is None else each.grad / max(tokens, 1)
        for name, each in student.named_parameters()
    }
    norm = float(torch.stack([each.double().square().sum() for each in gradients.values()]).sum().sqrt())
    scale = min(1.0, training.max_grad_norm / (norm + 1e-6))
    found: dict[str, Tensor] = {}
    for name, weights in student.named_parameters():
        index = sample_indices(weights.numel())
        found[f"gradient/{name}"] = (gradients[name] * scale).flatten().cpu()[index].float()
        found[f"before/{name}"] = weights.detach().flatten().cpu()[index].float()
    save_file(found, out / FIRST_STEP_TENSORS_AGAIN.name)
    count = max(tokens, 1)
    again = FirstStep(ce=ce / count, kl=kl / count, total=total / count, tokens=tokens, grad_norm=norm)
    write_json(out / FIRST_STEP_AGAIN.name, again.as_json())


def _loss(student: PreTrainedModel, teacher: TeacherModel | None, ids: Tensor, training: Training) -> _Sums:
    """The loss of one text (1, L), summed over its L - 1 predictions, all logits at once in float64."""
    logits = student(input_ids=ids, use_cache=False).logits[0, :-1].double()
    ce = functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
    kl = torch.zeros((), dtype=torch.float64, device=ids.device)
    if teacher is not None:
        heat = training.temperature
        theirs = teacher.logits(ids)[0, :-1, : logits.shape[-1]].to(logits.device).double()
        log_p, log_q = (functional.log_softmax(each / heat, dim=-1) for each in (theirs, logits))
        kl = torch.where(log_p.isfinite(), log_p.exp() * (log_p - log_q), 0.0).sum()
    total = training.ce_weight * ce + training.kd_weight * training.temperature**2 * kl
    return _Sums(total, ce.item(), kl.item(), len(logits))


def _student(folder: Path, device: str) -> PreTrainedModel:
    with without_progress_bars():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    model, info = loaded
    if any(info[kind] for kind in ("missing_keys", "mismatched_keys")):
        raise ExperimentError(f"{folder}: weights do not fit their config: {info}")
    ready: PreTrainedModel = model.to(device).train()
    return ready


def _teacher(config: StudentAuditConfig) -> TeacherModel:
    model, path = config.teacher.model, Path(config.teacher.path)
    if isinstance(model, GgufModel) and model.runtime == "llama.cpp":
        length = config.training.seq_len
        return open_llama_teacher(model, path, context=length, threads=config.threads, device=config.device)
    return load_teacher(model, path, device=config.device)


def _texts(window: NDArray[np.int32], end: int | None) -> Iterator[NDArray[np.int32]]:
    """The texts of a window that see only themselves: its documents, each with the id that closes it, or the whole."""
    cuts = [] if end is None else [int(place) + 1 for place in np.flatnonzero(window == end)]
    return (text for text in np.split(window, cuts) if len(text) > 1)


def _cross_entropy(model: Reference, window: NDArray[np.int32], end: int | None) -> float:
    """Mean nat per predicted token of a window, in float64."""
    losses = []
    for text in _texts(window, end):
        logits = model.logits(text)[:-1]
        top = logits.max(axis=-1)
        known = logits[np.arange(len(logits)), text[1:]]
        losses.append(np.log(np.exp(logits - top[:, None]).sum(axis=-1)) + top - known)
    return float(np.concatenate(losses).mean()) if losses else 0.0


def _compare_tensors(init: Path, released: Path) -> TensorComparison:
    """Tensors of the released files, and how many of them are those of the init to the last bit."""
    before, after = (
        {name: (file, name) for file in sorted(folder.glob("*.safetensors")) for name in _names(file)}
        for folder in (init, released)
    )
    if before.keys() != after.keys():
        raise ExperimentError(f"init and student have different tensors: {sorted(before.keys() ^ after.keys())[:3]}")
    reshaped = [name for name in sorted(before) if _tensor(*before[name]).shape != _tensor(*after[name]).shape]
    if reshaped:
        raise ExperimentError(f"tensors of the student have other shapes than those of its init: {reshaped[:3]}")
    same = sum(np.array_equal(_tensor(*before[name]), _tensor(*after[name])) for name in sorted(before))
    return TensorComparison(tensors=len(after), unchanged=same)


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="np") as stored:
        return list(stored.keys())


def _tensor(file: Path, name: str) -> NDArray[np.generic]:
    with safe_open(file, framework="np") as stored:
        found: NDArray[np.generic] = stored.get_tensor(name)
        return found
