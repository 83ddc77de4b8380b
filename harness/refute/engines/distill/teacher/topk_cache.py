"""The teacher's k most likely tokens at every position, on disk: for a teacher too slow or too large to ask online.

A row belongs to a window and is filed under the SHA-256 of its ids, so rows in another order, of another corpus or of
another window length are refused and never mistaken. Six bytes an entry: an int32 id and a float16 logit below the
row's largest. What the other entries weigh together is kept at each position, at the temperature of the run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from refute.disk import file_sha256
from refute.engines.distill.data.packing import Batch
from refute.engines.distill.logs import write_json
from refute.engines.distill.loss.teacher_forms import TopK
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.engines.distill.teacher.topk_source import TopEntries, TopKSource
from refute.engines.model.vocabulary import Vocabulary
from refute.errors import ExperimentError, MissingInputsError, OtherConfigurationError, UsageError
from refute.job import ProgressCallback
from refute.spec.experiments.training import Training

MANIFEST = "topk.json"

# What is being prepared, from before the first row on: rows of another teacher or shape are not continued.
_BEGUN = "begun.json"

# AC-DISTILL-001 in its first form: what is read back points where the teacher points.
LOWEST_COSINE = 0.999
_KEY_BYTES = 32
_CHECKED_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class _Layout:
    """File names, and the type and shape of one window's row in each."""

    positions: int
    k: int

    def files(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        shape = (self.positions, self.k)
        return {
            "ids.bin": (np.dtype("<i4"), shape),
            "logits.bin": (np.dtype("<f2"), shape),
            "tail.bin": (np.dtype("<f4"), (self.positions,)),
            # Mean and largest probability of the tail, T = 1.
            "mass.bin": (np.dtype("<f4"), (2,)),
            "keys.bin": (np.dtype("u1"), (_KEY_BYTES,)),
        }

    def row_bytes(self) -> dict[str, int]:
        return {name: kind.itemsize * int(np.prod(shape)) for name, (kind, shape) in self.files().items()}


def estimate_bytes(windows: int, positions: int, k: int) -> int:
    """What a cache takes on disk: 1.24e9 positions at k = 64 are 476 GB of entries and 5 GB of tails."""
    return windows * sum(_Layout(positions, k).row_bytes().values())


@dataclass(frozen=True, slots=True)
class TopKCache:
    """A provider that reads what the teacher said, of which `teacher_sha256` is known unless it was behind a server.

    `sha256` is the manifest's: two caches of the same are the same.
    """

    layout: _Layout
    temperature: float
    rows: dict[bytes, int]
    maps: dict[str, NDArray[Any]]
    device: str
    teacher_sha256: str | None
    sha256: str

    @classmethod
    def open(
        cls, folder: Path, training: Training, teacher_sha256: str | None, vocabulary: Vocabulary, device: str
    ) -> TopKCache:
        """Raises MissingInputsError for an unfinished cache, OtherConfigurationError for one of another teacher,
        tokenizer, temperature or treatment of documents, ExperimentError where files differ from their digests.

        Where `teacher_sha256` is None the run has no teacher but the one that the cache was prepared from.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingInputsError(f"{folder} is no finished cache", hint="run `refute distill prepare` to its end")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            layout, digests = _Layout(found["positions"], found["k"]), dict(found["sha256"])
            altered = [name for name in layout.files() if file_sha256(folder / name) != digests.get(name)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExperimentError(
                f"{folder} is no cache that can be read: {type(error).__name__}: {error}", hint="prepare it again"
            ) from error
        expected = _identity(training, teacher_sha256 or found.get("teacher_sha256"), vocabulary)
        expected["served"] = None if teacher_sha256 else found.get("served")
        wrong = [
            f"{name} is {found.get(name)}, the run has {value}"
            for name, value in expected.items()
            if found.get(name) != value
        ]
        if wrong:
            raise OtherConfigurationError(
                f"{folder} was prepared otherwise: {'; '.join(wrong)}",
                hint="prepare it again: it holds one teacher's probabilities of one tokenizer's tokens",
            )
        if altered:
            raise ExperimentError(f"{folder}: {', '.join(altered)} differ from the manifest", hint="prepare it again")
        maps = {
            name: np.memmap(folder / name, kind, "r").reshape(-1, *shape)
            for name, (kind, shape) in layout.files().items()
        }
        rows = {key.tobytes(): row for row, key in enumerate(maps["keys.bin"])}
        return cls(layout, found["temperature"], rows, maps, device, found["teacher_sha256"], file_sha256(path))

    def answer(self, batch: Batch) -> TeacherOutput:
        """Top-k entries of a batch. Raises ExperimentError for a window that the cache does not hold."""
        return TeacherOutput(topk=self.entries(batch))

    def entries(self, batch: Batch) -> TopK:
        """See `answer`."""
        rows = []
        for window in batch.ids.cpu():
            row = self.rows.get(window_key(window))
            if row is None:
                raise ExperimentError(
                    "the teacher's cache has no row for a window of this corpus",
                    hint="it was prepared from another corpus, seq_len or tokenizer: prepare it again",
                )
            rows.append(row)
        ids, logits, tail = (self.maps[name][rows] for name in ("ids.bin", "logits.bin", "tail.bin"))
        return TopK(
            torch.from_numpy(ids.astype(np.int64)).flatten(0, 1).to(self.device),
            torch.from_numpy(logits.astype(np.float32)).flatten(0, 1).to(self.device),
            torch.from_numpy(tail.astype(np.float32)).flatten().to(self.device),
            self.temperature,
        )


def prepare(
    folder: Path,
    batch_of: Callable[[int], Batch],
    windows: int,
    source: TopKSource,
    teacher_sha256: str | None,
    training: Training,
    *,
    k: int,
    vocabulary: Vocabulary,
    report: ProgressCallback = lambda *_: None,
) -> dict[str, object]:
    """Asks `source` about every window and writes the cache; continues where an earlier call was stopped.

    `batch_of(i)` is window i alone. Returns the manifest: beside what identifies the cache, the probability mass that
    top-k leaves to the tail (T = 1, mean and largest) and the lowest cosine of what is read back to what the teacher
    says, over log-probabilities of the kept ids. Raises UsageError when the disk is too small or `k` does not fit,
    ExperimentError when that cosine is below 0.999.
    """
    if not 0 < k <= vocabulary.size:
        raise UsageError(f"k must lie between 1 and the student's vocabulary of {vocabulary.size}, found {k}")
    layout = _Layout(training.seq_len - 1, k)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    begun: dict[str, object] = {"k": k, "served": source.served, **_identity(training, teacher_sha256, vocabulary)}
    done = _cut_to_whole_rows(folder, layout, batch_of, windows if _was_begun(folder, begun) else 0)
    write_json(folder / _BEGUN, begun)
    _refuse_small_disk(folder, estimate_bytes(windows - done, layout.positions, k))
    for window in range(done, windows):
        batch = batch_of(window)
        row, mass = _row(source.top(batch, k, training.temperature), batch)
        for name, data in row.items():
            with (folder / name).open("ab") as stream:
                stream.write(data)
        report("ask the teacher", window + 1, windows, {"tail_mass": mass})
    masses = np.fromfile(folder / "mass.bin", "<f4").reshape(windows, 2)
    manifest: dict[str, object] = begun | {
        "windows": windows,
        "tail_mass_mean": float(masses[:, 0].mean(dtype=np.float64)),
        "tail_mass_max": float(masses[:, 1].max()),
        "sha256": {name: file_sha256(folder / name) for name in layout.files()},
    }
    write_json(folder / MANIFEST, manifest)
    cosine = _read_back(folder, batch_of, windows, source, teacher_sha256, training, vocabulary)
    if not cosine >= LOWEST_COSINE:
        (folder / MANIFEST).unlink()
        raise ExperimentError(f"read back, the cache has cosine {cosine} to its teacher, expected {LOWEST_COSINE}")
    write_json(folder / MANIFEST, manifest | {"read_back_cosine": cosine})
    return manifest | {"read_back_cosine": cosine}


def window_key(ids: Tensor) -> bytes:
    """SHA-256 of a window's ids as little-endian int64."""
    return hashlib.sha256(ids.cpu().numpy().astype("<i8").tobytes()).digest()


def _identity(training: Training, teacher_sha256: str | None, vocabulary: Vocabulary) -> dict[str, object]:
    """What decides the content of a row, beside its window and k."""
    return {
        "temperature": training.temperature,
        "document_mask": training.document_mask,
        "teacher_sha256": teacher_sha256,
        "vocab_size": vocabulary.size,
        "vocabulary_sha256": vocabulary.sha256,
        "positions": training.seq_len - 1,
    }


def _was_begun(folder: Path, begun: dict[str, object]) -> bool:
    try:
        return bool(json.loads((folder / _BEGUN).read_text(encoding="utf-8")) == begun)
    except (OSError, ValueError):
        return False


def _row(entries: TopEntries, batch: Batch) -> tuple[dict[str, bytes], float]:
    """One window's bytes by file, and the mean mass of its tail at T = 1."""
    mass = entries.mass
    return {
        "ids.bin": entries.ids.cpu().numpy().astype("<i4").tobytes(),
        "logits.bin": entries.logits.cpu().numpy().astype("<f2").tobytes(),
        "tail.bin": entries.tail.cpu().numpy().astype("<f4").tobytes(),
        "mass.bin": np.array([mass.mean().item(), mass.max().item()], "<f4").tobytes(),
        "keys.bin": window_key(batch.ids[0]),
    }, mass.mean().item()


def _cut_to_whole_rows(folder: Path, layout: _Layout, batch_of: Callable[[int], Batch], most: int) -> int:
    """How many rows, `most` at most, an earlier call finished; the rest, or all if of other windows, is cut off."""
    sizes = layout.row_bytes()
    have = ((folder / name).stat().st_size // size if (folder / name).exists() else 0 for name, size in sizes.items())
    done = min(most, *have)
    keys = (folder / "keys.bin").read_bytes() if done else b""
    for row in range(done):
        if keys[row * _KEY_BYTES : (row + 1) * _KEY_BYTES] != window_key(batch_of(row).ids[0]):
            done = 0
            break
    for name, size in sizes.items():
        with (folder / name).open("ab") as stream:
            stream.truncate(done * size)
    return done


def _refuse_small_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"the cache needs {needed / 1e9:.1f} GB more, {folder} has {free / 1e9:.1f} GB free",
            hint="lower --k, shorten the corpus, or ask the teacher online",
        )


def _read_back(
    folder: Path,
    batch_of: Callable[[int], Batch],
    windows: int,
    source: TopKSource,
    teacher_sha256: str | None,
    training: Training,
    vocabulary: Vocabulary,
) -> float:
    cache = TopKCache.open(folder, training, teacher_sha256, vocabulary, "cpu")
    lowest = 1.0
    for window in range(0, windows, max(1, windows // _CHECKED_WINDOWS)):
        batch = batch_of(window)
        known = cache.entries(batch)
        whole = torch.logaddexp((known.logits / known.temperature).logsumexp(-1), known.tail)[:, None]
        mine = known.logits / known.temperature - whole
        theirs = source.log_probs(batch, known.ids, known.temperature)
        # Some teachers pad their vocabulary with -inf: no direction to compare there, but it must be read back.
        finite = theirs.isfinite()
        if not torch.equal(finite, mine.isfinite()):
            return -1.0
        mine, theirs = (torch.where(finite, shares, 0.0).double() for shares in (mine, theirs))
        # A certain teacher has the log-probability 0, which points nowhere.
        cosines = torch.where((mine - theirs).norm(dim=-1) < 1e-3, 1.0, functional.cosine_similarity(mine, theirs))
        lowest = min(lowest, cosines.min().item())
    return lowest
