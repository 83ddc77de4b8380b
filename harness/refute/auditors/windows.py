"""Which windows a step trains on, cut into texts that see only themselves, and the digest of what a model was given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from refute.errors import ExperimentError
from refute.spec.experiments.training import Training

Ids = NDArray[np.int32]

# What transformers and torch take for "no label here".
_IGNORED = -100


class Corpus(NamedTuple):
    """Token windows (windows, seq_len) of both splits; `end` closes a document, None where windows are one text.

    `begin` is what the model reads before any text, and every window begins with; None where there is no such id.
    """

    train: Ids
    heldout: Ids
    end: int | None
    begin: int | None


def read_corpus(manifest: object, folder: Path, training: Training) -> Corpus:
    """The corpus in `folder`, with the ids that its parsed manifest.json names. Raises ExperimentError without one."""
    end = manifest.get("end_of_document") if isinstance(manifest, dict) and training.document_mask else None
    if training.document_mask and not isinstance(end, int):
        raise ExperimentError(f"{folder} does not say which id ends a document, and training.document_mask is on")
    train, heldout = (load_file(folder / f"{split}.safetensors")["tokens"] for split in ("train", "heldout"))
    begin = manifest.get("beginning_of_sequence") if isinstance(manifest, dict) else None
    return Corpus(train, heldout, end, begin)


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


def texts(window: Ids, corpus: Corpus) -> Iterator[Ids]:
    """The texts of a window that see only themselves: its documents, each with the id that closes it, or the whole."""
    cuts = [] if corpus.end is None else [int(place) + 1 for place in np.flatnonzero(window == corpus.end)]
    for number, text in enumerate(np.split(window, cuts)):
        begun = text if number == 0 or corpus.begin is None else np.append(np.int32(corpus.begin), text)
        if len(begun) > 1:
            yield begun


def batch_digests(corpus: Corpus, training: Training, processes: int) -> Iterator[str]:
    """What metrics.jsonl must say of each step's batch: SHA-256 over micro-batches of the first process's share."""
    size = training.micro_batch_size
    for chosen in batches(len(corpus.train), training):
        found = hashlib.sha256()
        for start in range(0, len(chosen), size * processes):
            given = corpus.train[chosen[start : start + size]]
            ids, labels = given[:, :-1], given[:, 1:].copy()
            if corpus.end is not None and corpus.begin is not None:
                ids = np.where(ids == corpus.end, np.int32(corpus.begin), ids)
            elif corpus.end is not None:
                labels[ids == corpus.end] = _IGNORED
            found.update(ids.astype("<i4").tobytes() + labels.astype("<i4").tobytes())
        yield found.hexdigest()
