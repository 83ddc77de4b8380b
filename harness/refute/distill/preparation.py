"""Everything a KD run needs before its first step, loaded and checked against each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from refute.distill.data import BatchOrder, load_windows
from refute.distill.folder import load_model, weights_sha256
from refute.distill.init import TeacherPlace
from refute.distill.schedule import build_optimizer
from refute.distill.teacher import Teacher, load_teacher
from refute.distill.tokenizer import open_tokenizer, tokenizer_sha256
from refute.errors import ExperimentError, MissingInputsError
from refute.job import Job
from refute.release import Closed, HfModel, Positive, Training


class TrainConfig(Closed):
    """What enters a training run. Without KD (`kd_weight` 0) a teacher is only used to evaluate; it may be null."""

    training: Training
    teacher: TeacherPlace | None
    device: Literal["cpu", "cuda"]
    threads: Positive


@dataclass(frozen=True, slots=True)
class Run:
    """A run's parts. `windows` and `heldout` are int64 (windows, seq_len), held-out cut to `eval_windows`.

    `identity` is the digest of all that must be equal for a checkpoint to be resumed.
    """

    config: TrainConfig
    student: PreTrainedModel
    teacher: Teacher | None
    teacher_sha256: str | None
    tokenizer: PreTrainedTokenizerFast
    init_folder: Path
    windows: Tensor
    heldout: Tensor
    order: BatchOrder
    optimizer: torch.optim.AdamW
    identity: str

    @property
    def vocab_size(self) -> int:
        """Rows of the student's head."""
        return len(head_weight(self.student))


def prepare_run(job: Job) -> Run:
    """Loads init, corpus and teacher, and refuses what does not belong together.

    Raises ExperimentError or MissingInputsError: no teacher for a KD run, a student wider than its teacher's
    vocabulary, token lists that differ, a corpus of another tokenizer or length, too few windows.
    """
    config = TrainConfig.model_validate_json(job.config)
    training = config.training
    if training.kd_weight > 0 and config.teacher is None:
        raise MissingInputsError(f"kd_weight is {training.kd_weight}, but the run names no teacher")
    init_folder = job.inputs["init"].path("model")
    student = load_model(init_folder, device=config.device)
    tokenizer = open_tokenizer(HfModel(format="hf", path="model"), init_folder)
    teacher, teacher_sha256 = _open_teacher(config)
    vocab_size = len(head_weight(student))
    known = {tokenizer_sha256(tokenizer)}
    if teacher is not None:
        known.add(tokenizer_sha256(teacher.tokenizer))
        _refuse_other_vocabulary(vocab_size, tokenizer, teacher)
    manifest = json.loads(job.inputs["corpus"].path("manifest.json").read_text(encoding="utf-8"))
    if manifest["tokenizer_sha256"] not in known:
        raise ExperimentError("the corpus was tokenised by neither the init's nor the teacher's tokenizer")
    windows = load_windows(
        job.inputs["corpus"].path("train.safetensors"), vocab_size=vocab_size, seq_len=training.seq_len
    )
    heldout = load_windows(
        job.inputs["corpus"].path("heldout.safetensors"), vocab_size=vocab_size, seq_len=training.seq_len
    )
    if len(heldout) < training.eval_windows:
        raise ExperimentError(
            f"training.eval_windows = {training.eval_windows}, the corpus has {len(heldout)} held-out windows",
            hint="raise corpus.heldout_tokens or lower training.eval_windows",
        )
    heldout = heldout[: training.eval_windows].to(config.device)
    _refuse_unknown_head(student, heldout[:1])
    parts = {
        "training": training.model_dump(mode="json"),
        "machine": [config.device, config.threads, torch.__version__],
        "init": weights_sha256(init_folder),
        "corpus": [manifest["train_sha256"], manifest["heldout_sha256"]],
        "teacher": teacher_sha256,
    }
    return Run(
        config=config,
        student=student,
        teacher=teacher,
        teacher_sha256=teacher_sha256,
        tokenizer=tokenizer,
        init_folder=init_folder,
        windows=windows,
        heldout=heldout,
        order=BatchOrder(len(windows), training.batch_size, training.seed),
        optimizer=build_optimizer(student, training),
        identity=hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
    )


@contextmanager
def reproducible(config: TrainConfig) -> Iterator[None]:
    """Threads, seed and deterministic kernels of a run; the process's own settings return afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.threads)
    # CUDA additionally needs a cuBLAS setting in the environment before the process starts.
    torch.use_deterministic_algorithms(config.device == "cpu")
    torch.manual_seed(config.training.seed)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def head_weight(model: PreTrainedModel) -> torch.nn.Parameter:
    """The weight of the language-model head, shape (vocabulary, hidden). Raises ExperimentError without one."""
    weight = getattr(model.get_output_embeddings(), "weight", None)
    if not isinstance(weight, torch.nn.Parameter):
        raise ExperimentError(f"the head of a {type(model).__name__} has no plain weight")
    return weight


def hidden_states(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """What the head is applied to: (batch, positions, hidden)."""
    hidden: Tensor = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return hidden


def _open_teacher(config: TrainConfig) -> tuple[Teacher | None, str | None]:
    if config.teacher is None:
        return None, None
    path = Path(config.teacher.path)
    teacher = load_teacher(config.teacher.model, path, device=config.device, dtype=config.training.dtype)
    return teacher, weights_sha256(path)


def _refuse_other_vocabulary(vocab_size: int, tokenizer: PreTrainedTokenizerFast, teacher: Teacher) -> None:
    teacher_size = teacher.vocab_rows
    if vocab_size > teacher_size:
        raise ExperimentError(
            f"the student predicts {vocab_size} tokens, its teacher only {teacher_size}: "
            "the student must not be wider than its teacher's vocabulary",
            hint="choose a teacher and an init of one model family",
        )
    teachers = teacher.tokenizer.get_vocab()
    differing = sorted(token for token, index in tokenizer.get_vocab().items() if teachers.get(token) != index)
    if differing:
        raise ExperimentError(
            f"{len(differing)} tokens of the student have another id in its teacher, such as {differing[:3]}",
            hint="choose a teacher and an init that share one tokenizer",
        )


@torch.no_grad()
def _refuse_unknown_head(model: PreTrainedModel, window: Tensor) -> None:
    """The KD loss applies the head itself, so logits must be exactly hidden states times head weight."""
    logits = model(input_ids=window, use_cache=False).logits
    product = hidden_states(model, window) @ head_weight(model).T
    if not torch.allclose(logits, product, rtol=1e-3, atol=1e-3):
        apart = (logits - product).abs().max().item()
        raise ExperimentError(
            f"a {type(model).__name__} does more than multiply by its head (logits differ by {apart:.3g}): "
            "its bias, scaling or soft cap would be missing from the loss",
            hint="use an architecture with a plain head, such as Llama or Qwen2",
        )
