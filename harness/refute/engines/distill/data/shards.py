"""Token shards: uint32 files that are mapped into memory, and the manifest that says what they hold.

`train-00000.bin` and on, `heldout-00000.bin` and on: token ids, little-endian, documents end to end, each closed by
the end-of-document id. Of conversations, ids that are read and not learnt carry `packing.READ_ONLY`.
`manifest.json` names every shard with its digest, and the tokenizer by the digest of all that decides how text becomes
ids. uint16 could not hold a vocabulary of 151,936.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refute.disk import file_sha256
from refute.engines.distill.logs import write_json
from refute.errors import ExperimentError, MissingInputsError

ID = np.dtype("<u4")
MANIFEST = "manifest.json"
SPLITS = ("train", "heldout")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a split."""

    file: str
    tokens: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of shards holds. `largest_id` bounds the ids of all of them.

    `seq_len` is that of the windows that texts were laid into, None where any will do.
    `beginning_of_sequence` is not in the shards: every window that is cut from them begins with it, if it is not None.
    """

    tokenizer_sha256: str
    end_of_document: int
    largest_id: int
    shards: dict[str, tuple[Shard, ...]]
    facts: dict[str, object] = field(default_factory=dict)
    beginning_of_sequence: int | None = None
    seq_len: int | None = None

    def tokens(self, split: str) -> int:
        """Ids in a split."""
        return sum(shard.tokens for shard in self.shards[split])

    def save(self, folder: Path) -> None:
        """Write it, last of all: a folder without it is unfinished."""
        write_json(folder / MANIFEST, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Raises MissingInputsError when it is absent, ExperimentError when it cannot be read."""
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingInputsError(
                f"{folder} holds no {MANIFEST}", hint="make shards with `refute distill tokenize`, to its end"
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != _FORMAT:
                raise ExperimentError(f"{path} has format {found['format']}, expected {_FORMAT}")
            shards = {split: tuple(Shard(**shard) for shard in found["shards"][split]) for split in SPLITS}
            known = {name: found[name] for name in ("tokenizer_sha256", "end_of_document", "largest_id", "facts")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExperimentError(f"{path} is no manifest of token shards: {error!r}") from error
        begin, length = found.get("beginning_of_sequence"), found.get("seq_len")
        return cls(shards=shards, beginning_of_sequence=begin, seq_len=length, **known)


class ShardWindows:
    """A split as windows of `seq_len` ids, cut end to end; the rest that fills no window is left out.

    Where texts begin with an id, each window does, and the others follow each other end to end.
    """

    def __init__(self, folder: Path, manifest: Manifest, split: str, seq_len: int) -> None:
        shards = manifest.shards[split]
        self._maps = [_mapped(folder / shard.file, shard.tokens) for shard in shards]
        self._starts = np.cumsum([0, *(shard.tokens for shard in shards)])
        self._begin = [] if manifest.beginning_of_sequence is None else [manifest.beginning_of_sequence]
        self._stride = seq_len - len(self._begin)

    def __len__(self) -> int:
        return int(self._starts[-1]) // self._stride

    def __getitem__(self, indices: Sequence[int]) -> Tensor:
        """Shape (len(indices), seq_len), int64."""
        begin = np.array(self._begin, dtype=ID)
        spans = (self._span(index * self._stride, (index + 1) * self._stride) for index in indices)
        rows = [np.concatenate([begin, span]) for span in spans]
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    def _span(self, first: int, last: int) -> NDArray[np.uint32]:
        shard = int(np.searchsorted(self._starts, first, side="right")) - 1
        pieces = []
        while first < last:
            start, end = int(self._starts[shard]), int(self._starts[shard + 1])
            pieces.append(self._maps[shard][first - start : min(last, end) - start])
            first, shard = min(last, end), shard + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def verify_shards(folder: Path, manifest: Manifest, progress: Callable[[int, int], None] = lambda *_: None) -> None:
    """Raise ExperimentError naming every shard whose content is not what the manifest says."""
    shards = [shard for split in SPLITS for shard in manifest.shards[split]]
    altered = []
    for done, shard in enumerate(shards):
        progress(done, len(shards))
        try:
            found = file_sha256(folder / shard.file)
        except OSError as error:
            found = str(error)
        if found != shard.sha256:
            altered.append(f"{shard.file}: {found}, expected {shard.sha256}")
    if altered:
        raise ExperimentError(
            f"{folder}: {len(altered)} of {len(shards)} shards differ from the manifest: " + "; ".join(altered[:5]),
            hint="copy them again, or tokenise again",
        )


def _mapped(path: Path, tokens: int) -> NDArray[np.uint32]:
    try:
        ids = np.memmap(path, dtype=ID, mode="r")
    except (OSError, ValueError) as error:
        raise MissingInputsError(f"shard {path} cannot be read: {error}") from error
    if len(ids) != tokens:
        raise ExperimentError(f"shard {path} holds {len(ids)} ids, its manifest says {tokens}", hint="copy it again")
    return ids
