"""How far a tokenisation has come, on disk: one that was killed goes on behind the shards that it finished."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from refute.disk import file_sha256
from refute.engines.distill.data.shards import ID, SPLITS, Shard
from refute.errors import ExperimentError, UsageError

FILE = "unfinished.safetensors"
DIGEST_BYTES = 16


@dataclass(slots=True)
class Counts:
    """Documents by what became of them."""

    train: int = 0
    heldout: int = 0
    duplicates: int = 0
    contaminated: int = 0
    undecodable: int = 0
    null: int = 0
    empty: int = 0
    too_long: int = 0


@dataclass(slots=True)
class Progress:
    """Where the next document is read, and everything that the ones before it left behind.

    `source` counts finished sources, `documents` those read from the next one. `seen` holds the first 16 bytes of the
    SHA-256 of each text, `pending` the ids of each split that fill no shard yet: four bytes an id, where a list of them
    would take ten times as much, 10 GB before the first shard is written.
    """

    source: int = 0
    documents: int = 0
    largest_id: int = 0
    counts: Counts = field(default_factory=Counts)
    seen: set[bytes] = field(default_factory=set)
    shards: dict[str, list[Shard]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    pending: dict[str, array[int]] = field(default_factory=lambda: {split: array("I") for split in SPLITS})

    def save(self, folder: Path, wanted: Mapping[str, object]) -> None:
        """Replace the file, atomically. `wanted` is what decides about the shards: none other may continue it."""
        words = {
            "wanted": dict(wanted),
            "source": self.source,
            "documents": self.documents,
            "largest_id": self.largest_id,
            "counts": asdict(self.counts),
            "shards": {split: [asdict(shard) for shard in shards] for split, shards in self.shards.items()},
        }
        numbers: dict[str, NDArray[np.generic]] = {
            split: np.array(ids, dtype=ID) for split, ids in self.pending.items()
        }
        numbers["seen"] = np.frombuffer(b"".join(sorted(self.seen)), dtype=np.uint8)
        part = folder / f"{FILE}.part"
        save_file(numbers, part, metadata={"progress": json.dumps(words)})
        part.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path, wanted: Mapping[str, object]) -> Progress:
        """That of a run that was stopped in `folder`, or a fresh one where there is none.

        Raises UsageError for a run of other settings, naming them; ExperimentError where file or shards are damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return cls()
        try:
            with safe_open(path, framework="numpy") as file:
                words = json.loads(file.metadata()["progress"])
                numbers = {name: file.get_tensor(name) for name in (*SPLITS, "seen")}
            _refuse_others(folder, words["wanted"], wanted)
            found = cls(
                source=words["source"],
                documents=words["documents"],
                largest_id=words["largest_id"],
                counts=Counts(**words["counts"]),
                seen=_cut(numbers["seen"].tobytes()),
                shards={split: [Shard(**shard) for shard in words["shards"][split]] for split in SPLITS},
                pending={split: array("I", numbers[split].tobytes()) for split in SPLITS},
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ExperimentError(
                f"{path} cannot be read: {error!r}", hint="delete the folder, and tokenise from the beginning"
            ) from error
        for shard in (shard for split in SPLITS for shard in found.shards[split]):
            _check(folder / shard.file, shard)
        return found


def _refuse_others(folder: Path, theirs: Mapping[str, object], ours: Mapping[str, object]) -> None:
    differing = [f"{key} {theirs.get(key)!r}, now {value!r}" for key, value in ours.items() if theirs.get(key) != value]
    if differing:
        raise UsageError(
            f"{folder} holds an unfinished run of other settings: {'; '.join(differing)}"[:600],
            hint="name another folder, or delete that one",
        )


def _cut(digests: bytes) -> set[bytes]:
    return {digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)}


def _check(path: Path, shard: Shard) -> None:
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != shard.sha256:
        raise ExperimentError(
            f"{path} should have SHA-256 {shard.sha256}, found {found}",
            hint="delete the folder, and tokenise from the beginning",
        )


def describe_sources(sources: Sequence[Path]) -> str:
    """SHA-256 over names, sizes and times of change: enough to notice that a source was changed in between."""
    facts = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sources]
    return hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()
