"""Windows of packed documents as what a model reads: ids, positions that restart with each document, labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100

# In an id of a window: it is read, and not learnt, such as what a user said.
READ_ONLY = 1 << 31


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`, `labels` and `positions` (windows, L - 1), int64. A label is the next id, or IGNORED.

    `positions` is None where attention may cross documents. Where it restarts at 0, transformers keeps attention
    inside each document (its masks for packed sequences).
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor | None

    @property
    def supervised(self) -> int:
        """Positions that have a label."""
        return int((self.labels != IGNORED).sum())

    def split(self, windows: int) -> list[Batch]:
        """Micro-batches of so many windows, in order."""
        starts = range(0, len(self.ids), windows)
        return [self._part(slice(first, first + windows)) for first in starts]

    def _part(self, rows: slice) -> Batch:
        positions = None if self.positions is None else self.positions[rows]
        return Batch(self.ids[rows], self.labels[rows], positions)

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.ids, self.labels, *([] if self.positions is None else [self.positions])]

    def to(self, device: torch.device | str) -> Batch:
        """The same on `device`."""
        positions = None if self.positions is None else self.positions.to(device, non_blocking=True)
        return Batch(self.ids.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), positions)


def pack(windows: Tensor, end_of_document: int | None, beginning_of_sequence: int | None = None) -> Batch:
    """The batch of `windows` (windows, L): every position but the last predicts the next id.

    With `end_of_document`, the id that closes each document, documents do not see each other, and the last
    position of one does not predict the first id of another. With None, a window is one text.

    An id with READ_ONLY is no label.

    `beginning_of_sequence` is the id that windows begin with, None where they do not. A document then begins with it,
    too: in the place of the end before it, which nothing reads any more, and where it predicts the first id.
    """
    given, windows = windows >= READ_ONLY, windows.long() & (READ_ONLY - 1)
    ids, labels = windows[:, :-1], windows[:, 1:].masked_fill(given[:, 1:], IGNORED)
    if end_of_document is None:
        return Batch(ids, labels, None)
    ends = ids == end_of_document
    index = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    if beginning_of_sequence is not None:
        starts = ends * index
        return Batch(ids.masked_fill(ends, beginning_of_sequence), labels, index - starts.cummax(dim=1).values)
    starts = functional.pad(ends[:, :-1], (1, 0)) * index
    return Batch(ids, labels.masked_fill(ends, IGNORED), index - starts.cummax(dim=1).values)


def batch_sha256(batches: Sequence[Batch]) -> str:
    """SHA-256 of the ids and labels of micro-batches, each first its ids, then its labels, as little-endian int32."""
    found = hashlib.sha256()
    for batch in batches:
        for tensor in (batch.ids, batch.labels):
            found.update(tensor.cpu().numpy().astype("<i4").tobytes())
    return found.hexdigest()
