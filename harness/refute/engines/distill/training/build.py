"""The setup of a KD run: student, teacher, data, optimizer, loaded and checked against each other before step 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from refute.engines.distill.data.batch_order import BatchOrder
from refute.engines.distill.data.data_loader import DataLoader
from refute.engines.distill.data.dataset import Dataset, open_dataset
from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import Provider, TeacherModel
from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.engines.distill.teacher.loaded import Teacher, has_plain_head, load_teacher
from refute.engines.distill.teacher.topk_cache import TopKCache
from refute.engines.distill.training.optimizer import build_optimizer
from refute.engines.distill.training.parallel import parallelize
from refute.engines.distill.training.ranks import Ranks
from refute.engines.distill.training.step import StepModule, head_weight
from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.device import require_device
from refute.engines.model.folder import load_model, same_numbers, weights_sha256
from refute.engines.model.tokenizer import open_tokenizer, tokenizer_sha256
from refute.engines.model.vocabulary import Vocabulary, refuse_other_vocabulary
from refute.errors import ExperimentError, MissingInputsError
from refute.spec.experiments.distill import TeacherPlace, TrainConfig
from refute.spec.experiments.training import Training
from refute.spec.release import GgufModel, HfModel


@dataclass(frozen=True, slots=True)
class Run:
    """A run's parts on this rank.

    `student` is the model itself; `module` computes its loss, and is what ranks share. `teacher` evaluates and, unless
    there is a cache of its answers, teaches: it may be elsewhere then, and nobody evaluates the distance to it.
    `provider` is who teaches, None without KD. `heldout` are the evaluation
    windows, on `device`. `identity` holds everything that must be equal for a checkpoint to be resumed.
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
    data: DataLoader
    heldout: Batch
    optimizer: torch.optim.AdamW
    identity: Mapping[str, object]
    vocab_size: int

    @property
    def init_folder(self) -> Path:
        """Where the student began."""
        return Path(self.config.init)


def build(config: TrainConfig, ranks: Ranks) -> Run:
    """Loads init, corpus and teacher, and refuses what does not belong together.

    Raises ExperimentError or MissingInputsError: a device that is not there, no teacher for a KD run, teacher == init,
    a teacher's file of another digest than its source states, an adapter beside weights, a tied head that is another,
    a student wider than its teacher's vocabulary, token lists that differ, a corpus of another tokenizer or length, too
    few windows.
    """
    training, device = config.training, require_device(ranks.device(config.device))
    _refuse_uneven(training, ranks)
    if training.kd_weight > 0 and config.teacher is None and config.teacher_cache is None:
        raise MissingInputsError(
            f"kd_weight is {training.kd_weight}, but the run names no teacher",
            hint="name one, or a `teacher_cache` of what one has said",
        )
    init_folder = Path(config.init)
    student = load_model(init_folder, device=device)
    tokenizer = open_tokenizer(HfModel(format="hf", path=config.init), init_folder)
    teacher_sha256 = None if config.teacher is None else _teacher_sha256(config.teacher)
    teacher = None if config.teacher is None else _open_teacher(config, config.teacher, device)
    vocab_size = len(head_weight(student))
    cache = _open_cache(config, teacher_sha256, Vocabulary.of(vocab_size, tokenizer), device)
    if cache is not None:
        teacher_sha256 = cache.teacher_sha256
    init_sha256 = weights_sha256(init_folder)
    if teacher_sha256 == init_sha256:
        _refuse_one_model("the same weights")
    if teacher is not None:
        if isinstance(teacher, Teacher) and same_numbers(student, teacher.model):
            _refuse_one_model("the same numbers, in other files or another dtype")
        refuse_other_vocabulary(vocab_size, tokenizer, teacher.vocab_rows, teacher.tokenizer)
    _refuse_other_head(student)
    dataset = _open_dataset(config, vocab_size, tokenizer, teacher)
    data = _data_loader(dataset, training, ranks)
    _save_memory_and_time(student, training)
    module = parallelize(StepModule(student, training), training.parallel, ranks)
    provider = cache or teacher
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
        data=data,
        heldout=data.pack(dataset.heldout[list(range(training.eval_windows))].to(device)),
        optimizer=build_optimizer(module, training),
        identity=_identity(config, ranks, dataset, init=init_sha256, teacher=teacher_sha256, cache=cache),
        vocab_size=vocab_size,
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


def _refuse_one_model(how: str) -> NoReturn:
    raise ExperimentError(
        f"teacher and init have {how}: nothing would be distilled",
        hint="name a larger teacher, or an init that is not a copy of it",
    )


def _refuse_uneven(training: Training, ranks: Ranks) -> None:
    if training.batch_size % (training.micro_batch_size * ranks.world_size):
        raise ExperimentError(
            f"a batch of {training.batch_size} windows cannot be shared by {ranks.world_size} ranks "
            f"in micro-batches of {training.micro_batch_size}",
            hint="batch_size must be a multiple of micro_batch_size times the number of ranks",
        )


def _teacher_sha256(place: TeacherPlace) -> str:
    found = weights_sha256(Path(place.path))
    if isinstance(place.model, GgufModel) and place.model.source.sha256 != found:
        raise ExperimentError(
            f"the teacher {place.path} has SHA-256 {found}, its source says {place.model.source.sha256}",
            hint="fetch the file again, or correct `sha256` if this is the file that is meant",
        )
    return found


def _open_teacher(config: TrainConfig, place: TeacherPlace, device: str) -> TeacherModel:
    training, path = config.training, Path(place.path)
    if isinstance(place.model, GgufModel) and place.model.runtime == "llama.cpp":
        return open_llama_teacher(place.model, path, context=training.seq_len, threads=config.threads, device=device)
    return load_teacher(place.model, path, device=device, dtype=training.dtype)


def _open_cache(
    config: TrainConfig, teacher_sha256: str | None, vocabulary: Vocabulary, device: str
) -> TopKCache | None:
    if config.teacher_cache is None:
        return None
    return TopKCache.open(Path(config.teacher_cache.topk), config.training, teacher_sha256, vocabulary, device)


def _refuse_other_head(student: PreTrainedModel) -> None:
    """The loss multiplies hidden states by the head's weight itself, so a head that does more would be left out."""
    if not has_plain_head(student):
        raise ExperimentError(
            f"a {type(student).__name__} does more than multiply by its head: "
            "its bias, scaling or soft cap would be missing from the loss",
            hint="use an architecture with a plain head, such as Llama or Qwen2",
        )


def _open_dataset(
    config: TrainConfig, vocab_size: int, tokenizer: PreTrainedTokenizerFast, teacher: TeacherModel | None
) -> Dataset:
    training = config.training
    # Tokenizers that mean the same by every id may differ in their files, as a GGUF's and a folder's do: both will do.
    tokenizers = {tokenizer_sha256(each) for each in (tokenizer, *([] if teacher is None else [teacher.tokenizer]))}
    dataset = open_dataset(Path(config.corpus), seq_len=training.seq_len, vocab_size=vocab_size, tokenizers=tokenizers)
    if training.document_mask and dataset.end_of_document is None:
        raise ExperimentError(
            f"training.document_mask is on, but {config.corpus} does not say which id ends a document",
            hint="build the corpus again with this version, or make shards with `refute distill tokenize`",
        )
    if dataset.beginning_of_sequence != (begin := beginning_of_sequence(tokenizer)):
        raise ExperimentError(
            f"the windows of {config.corpus} begin with id {dataset.beginning_of_sequence}, the model reads {begin}",
            hint="build the corpus again with this version and the student's tokenizer",
        )
    if len(dataset.heldout) < training.eval_windows:
        raise ExperimentError(
            f"training.eval_windows = {training.eval_windows}, the corpus has {len(dataset.heldout)} held-out windows",
            hint="raise corpus.heldout_tokens or lower training.eval_windows",
        )
    return dataset


def _data_loader(dataset: Dataset, training: Training, ranks: Ranks) -> DataLoader:
    return DataLoader(
        windows=dataset.train,
        order=BatchOrder(len(dataset.train), training.batch_size, training.seed),
        end_of_document=dataset.end_of_document if training.document_mask else None,
        beginning_of_sequence=dataset.beginning_of_sequence,
        micro_batch_size=training.micro_batch_size,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )


def _save_memory_and_time(student: PreTrainedModel, training: Training) -> None:
    """Gradient checkpointing and torch.compile, where the run asks for them."""
    if training.gradient_checkpointing:
        # transformers renamed it within version 5, and warns of the old name.
        enable = getattr(student, "activation_checkpointing_enable", None) or student.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if training.compile:
        student.base_model.compile()


def _identity(
    config: TrainConfig, ranks: Ranks, dataset: Dataset, *, init: str, teacher: str | None, cache: TopKCache | None
) -> dict[str, object]:
    """What a checkpoint must agree on: anything here that differs would make a resumed run another one."""
    return {
        "training": config.training.model_dump(mode="json"),
        "device": config.device,
        "threads": config.threads,
        "ranks": ranks.world_size,
        "torch": torch.__version__,
        "init": init,
        "corpus": dataset.digests,
        "teacher": teacher,
        "topk": None if cache is None else cache.layout.k,
        "topk_sha256": None if cache is None else cache.sha256,
    }
