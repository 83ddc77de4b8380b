"""The dataset of a run: training and held-out windows, from token shards or from the evidence of a corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from refute.engines.distill.data.shards import MANIFEST, SPLITS, Manifest, ShardWindows, verify_shards
from refute.errors import ExperimentError

_CORPUS_FILE = "train.safetensors"


class Windows(Protocol):
    """Windows by number, in memory or mapped from files."""

    def __len__(self) -> int: ...
    def __getitem__(self, indices: list[int], /) -> Tensor:
        """Shape (len(indices), seq_len), int64."""
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """`digests` are of its content, by split; `end_of_document` is the id that closes a document, None if unsaid;
    `beginning_of_sequence` the one that every window begins with, None if none does."""

    train: Windows
    heldout: Windows
    digests: Mapping[str, object]
    end_of_document: int | None
    beginning_of_sequence: int | None


def open_dataset(folder: Path, *, seq_len: int, vocab_size: int, tokenizers: Set[str]) -> Dataset:
    """The corpus in `folder` as windows of `seq_len` ids, every file of it checked against its digest or its shape.

    Raises ExperimentError for a corpus that none of `tokenizers` (their SHA-256) made, that holds ids outside
    [0, vocab_size), or whose files are not what its manifest says; MissingInputsError for one that is absent.
    """
    if (folder / _CORPUS_FILE).exists():
        return _from_evidence(folder, seq_len, vocab_size, tokenizers)
    return _from_shards(folder, seq_len, vocab_size, tokenizers)


def _from_evidence(folder: Path, seq_len: int, vocab_size: int, tokenizers: Set[str]) -> Dataset:
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    _refuse_other_tokenizer(found["tokenizer_sha256"], tokenizers)
    train, heldout = (
        load_windows(folder / f"{split}.safetensors", vocab_size=vocab_size, seq_len=seq_len) for split in SPLITS
    )
    digests = {split: found[f"{split}_sha256"] for split in SPLITS}
    return Dataset(train, heldout, digests, found.get("end_of_document"), found.get("beginning_of_sequence"))


def _from_shards(folder: Path, seq_len: int, vocab_size: int, tokenizers: Set[str]) -> Dataset:
    manifest = Manifest.load(folder)
    _refuse_other_tokenizer(manifest.tokenizer_sha256, tokenizers)
    if manifest.largest_id >= vocab_size:
        raise ExperimentError(f"{folder} holds id {manifest.largest_id}, the model's vocabulary ends at {vocab_size}")
    if manifest.seq_len not in (None, seq_len):
        raise ExperimentError(
            f"{folder} holds conversations laid into windows of {manifest.seq_len} ids, the run reads {seq_len}",
            hint=f"set training.seq_len: {manifest.seq_len}, or tokenise again with --seq-len {seq_len}",
        )
    verify_shards(folder, manifest)
    train, heldout = (ShardWindows(folder, manifest, split, seq_len) for split in SPLITS)
    digests = {split: [shard.sha256 for shard in shards] for split, shards in manifest.shards.items()}
    return Dataset(train, heldout, digests, manifest.end_of_document, manifest.beginning_of_sequence)


def _refuse_other_tokenizer(found: str, known: Set[str]) -> None:
    if found not in known:
        raise ExperimentError(
            f"the corpus was tokenised by tokenizer {found}, not by the init's nor the teacher's",
            hint="tokenise the texts again with the student's tokenizer",
        )


def load_windows(path: Path, *, vocab_size: int, seq_len: int | None = None) -> torch.Tensor:
    """Tensor `tokens` of a corpus file as int64, shape (windows, seq_len).

    Raises ExperimentError when it is truncated, of another length than `seq_len` (when one is given), or holds
    ids outside [0, vocab_size).
    """
    try:
        tokens = load_file(path)["tokens"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ExperimentError(f"{path} is not a corpus file: {error}") from error
    if tokens.ndim != 2 or not len(tokens) or seq_len not in (None, tokens.shape[1]):
        raise ExperimentError(
            f"{path}: tokens have shape {tuple(tokens.shape)}, expected (windows, {seq_len or 'any length'})"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocab_size:
        raise ExperimentError(f"{path}: ids lie in [{low}, {high}], the model's vocabulary in [0, {vocab_size})")
    return tokens.long()
