"""Everything a KD run needs before its first step, loaded and checked against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from refute.engines.distill.data.batch_order import BatchOrder, load_windows
from refute.engines.distill.data.packing import Batch, pack
from refute.engines.distill.data.shards import MANIFEST, Manifest, ShardWindows, verify_shards
from refute.engines.distill.teacher.interface import Provider, TeacherModel
from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.engines.distill.teacher.loaded import has_plain_head, load_teacher
from refute.engines.distill.teacher.topk_cache import TopKCache
from refute.engines.distill.training.optimizer import build_optimizer
from refute.engines.distill.training.parallel import parallelize
from refute.engines.distill.training.ranks import Ranks
from refute.engines.distill.training.step import StepModule, head_weight
from refute.engines.model.device import require_device
from refute.engines.model.folder import load_model, weights_sha256
from refute.engines.model.tokenizer import open_tokenizer, tokenizer_sha256
from refute.engines.model.vocabulary import refuse_other_vocabulary
from refute.errors import ExperimentError, MissingInputsError
from refute.spec.experiments.distill import TeacherPlace, TrainConfig
from refute.spec.release import GgufModel, HfModel


class Windows(Protocol):
    """Training windows by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, indices: list[int], /) -> Tensor:
        """Shape (len(indices), seq_len), int64."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A run's parts on this rank.

    `student` is the model itself; `module` computes its loss, and is what ranks share. `teacher` judges and, unless
    there is a cache of its answers, teaches; `provider` is who teaches. `heldout` is int64 (windows, seq_len).
    `identity` holds everything that must be equal for a checkpoint to be resumed.
    """

    config: TrainConfig
    ranks: Ranks
    device: str
    student: PreTrainedModel
    module: nn.Module
    teacher: TeacherModel | None
    provider: Provider | None
    teacher_sha256: str | None
    tokenizer: PreTrainedTokenizerFast
    windows: Windows
    heldout: Tensor
    order: BatchOrder
    optimizer: torch.optim.AdamW
    identity: Mapping[str, object]
    vocab_size: int
    end_of_document: int | None

    @property
    def init_folder(self) -> Path:
        """Where the student began."""
        return Path(self.config.init)

    def batch(self, step: int) -> Batch:
        """The batch of 0-based optimiser step `step`, over all ranks, on the CPU."""
        return self.pack(self.windows[self.order.batch(step)])

    def pack(self, windows: Tensor) -> Batch:
        """Windows as this run reads them."""
        return pack(windows, self.end_of_document)

    def share(self, batch: Batch) -> Sequence[Batch]:
        """The micro-batches of `batch` that are this rank's, on the CPU."""
        return batch.split(self.config.training.micro_batch_size)[self.ranks.rank :: self.ranks.world_size]


def build(config: TrainConfig, ranks: Ranks) -> Run:
    """Loads init, corpus and teacher, and refuses what does not belong together.

    Raises ExperimentError or MissingInputsError: a device that is not there, no teacher for a KD run, teacher == init,
    a student wider than its teacher's vocabulary, token lists that differ, a corpus of another tokenizer or length, too
    few windows.
    """
    training, device = config.training, require_device(ranks.device(config.device))
    _refuse_uneven(config, ranks)
    if training.kd_weight > 0 and config.teacher is None:
        raise MissingInputsError(f"kd_weight is {training.kd_weight}, but the run names no teacher")
    init_folder = Path(config.init)
    student = load_model(init_folder, device=device)
    tokenizer = open_tokenizer(HfModel(format="hf", path=config.init), init_folder)
    teacher = None if config.teacher is None else _open_teacher(config, config.teacher, device)
    vocab_size = len(head_weight(student))
    known = {tokenizer_sha256(tokenizer)}
    teacher_sha256 = None if config.teacher is None else weights_sha256(Path(config.teacher.path))
    init_sha256 = weights_sha256(init_folder)
    if teacher is not None:
        known.add(tokenizer_sha256(teacher.tokenizer))
        if teacher_sha256 == init_sha256:
            raise ExperimentError("teacher and init have the same weights: nothing would be distilled")
        refuse_other_vocabulary(vocab_size, tokenizer, teacher.vocab_rows, teacher.tokenizer)
    if not has_plain_head(student):
        raise ExperimentError(
            f"a {type(student).__name__} does more than multiply by its head: "
            "its bias, scaling or soft cap would be missing from the loss",
            hint="use an architecture with a plain head, such as Llama or Qwen2",
        )
    windows, heldout, digests, end = _open_corpus(config, vocab_size, known)
    if training.document_mask and end is None:
        raise ExperimentError(
            f"training.document_mask is on, but {config.corpus} does not say which id ends a document",
            hint="build the corpus again with this version, or make shards with `refute distill tokenize`",
        )
    if len(heldout) < training.eval_windows:
        raise ExperimentError(
            f"training.eval_windows = {training.eval_windows}, the corpus has {len(heldout)} held-out windows",
            hint="raise corpus.heldout_tokens or lower training.eval_windows",
        )
    if training.gradient_checkpointing:
        # transformers renamed it within version 5, and warns of the old name.
        enable = getattr(student, "activation_checkpointing_enable", None) or student.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if training.compile:
        student.base_model.compile()
    module = parallelize(StepModule(student, training), training.parallel, ranks)
    provider: Provider | None = teacher
    topk: int | None = None
    if config.teacher_cache is not None:
        provider = cache = TopKCache.open(Path(config.teacher_cache.topk), training, teacher_sha256, vocab_size, device)
        topk = cache.layout.k
    return Run(
        config=config,
        ranks=ranks,
        device=device,
        student=student,
        module=module,
        teacher=teacher,
        provider=provider if training.kd_weight > 0 else None,
        teacher_sha256=teacher_sha256,
        tokenizer=tokenizer,
        windows=windows,
        heldout=heldout[list(range(training.eval_windows))].to(device),
        order=BatchOrder(len(windows), training.batch_size, training.seed),
        optimizer=build_optimizer(module, training),
        identity={
            "training": training.model_dump(mode="json"),
            "device": config.device,
            "threads": config.threads,
            "ranks": ranks.world_size,
            "torch": torch.__version__,
            "init": init_sha256,
            "corpus": digests,
            "teacher": teacher_sha256,
            "topk": topk,
        },
        vocab_size=vocab_size,
        end_of_document=end if training.document_mask else None,
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


def _open_teacher(config: TrainConfig, place: TeacherPlace, device: str) -> TeacherModel:
    training, path = config.training, Path(place.path)
    if isinstance(place.model, GgufModel) and place.model.runtime == "llama.cpp":
        return open_llama_teacher(place.model, path, context=training.seq_len, threads=config.threads, device=device)
    return load_teacher(place.model, path, device=device, dtype=training.dtype)


def _refuse_uneven(config: TrainConfig, ranks: Ranks) -> None:
    training = config.training
    if training.batch_size % (training.micro_batch_size * ranks.world_size):
        raise ExperimentError(
            f"a batch of {training.batch_size} windows cannot be shared by {ranks.world_size} ranks "
            f"in micro-batches of {training.micro_batch_size}",
            hint="batch_size must be a multiple of micro_batch_size times the number of ranks",
        )


def _open_corpus(
    config: TrainConfig, vocab_size: int, known: set[str]
) -> tuple[Windows, Windows, Mapping[str, object], int | None]:
    """Training and held-out windows, their digests, and the id that closes a document."""
    folder, seq_len = Path(config.corpus), config.training.seq_len
    if (folder / "train.safetensors").exists():
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        _refuse_other_tokenizer(found["tokenizer_sha256"], known)
        train, heldout = (
            load_windows(folder / f"{split}.safetensors", vocab_size=vocab_size, seq_len=seq_len)
            for split in ("train", "heldout")
        )
        digests = {split: found[f"{split}_sha256"] for split in ("train", "heldout")}
        return train, heldout, digests, found.get("end_of_document")
    manifest = Manifest.load(folder)
    _refuse_other_tokenizer(manifest.tokenizer_sha256, known)
    if manifest.largest_id >= vocab_size:
        raise ExperimentError(f"{folder} holds id {manifest.largest_id}, the model's vocabulary ends at {vocab_size}")
    verify_shards(folder, manifest)
    digests = {split: [shard.sha256 for shard in shards] for split, shards in manifest.shards.items()}
    windows = [ShardWindows(folder, manifest, split, seq_len) for split in ("train", "heldout")]
    return windows[0], windows[1], digests, manifest.end_of_document


def _refuse_other_tokenizer(found: str, known: set[str]) -> None:
    if found not in known:
        raise ExperimentError(
            f"the corpus was tokenised by tokenizer {found}, not by the init's nor the teacher's",
            hint="tokenise the texts again with the student's tokenizer",
        )
