"""The trace of a run: after every step, a few entries of each parameter and of AdamW's two moments of it.

A raw file of float32 in scratch, a row a step, so that a kill loses no row and a resumption cuts it back; at the end
the arrays of `spec.experiments.custody`. Moments and weights together tell, entry by entry, what the optimiser did in
each step.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from refute.engines.distill.training.build import Run
from refute.engines.distill.training.parallel import local_entries
from refute.errors import ExperimentError
from refute.spec.experiments.custody import positions
from refute.spec.experiments.evidence_files import TRACE

# As AdamW calls its moments; None stands for the weights themselves.
_KINDS = {"weights": None, "first_moment": "exp_avg", "second_moment": "exp_avg_sq"}


class Trace:
    """The trace file of one run on this rank; only the main rank's is written, and every rank must append."""

    def __init__(self, path: Path, run: Run, entropy: str, done: int) -> None:
        """Goes on after `done` steps. Raises ExperimentError where the file holds fewer rows than that."""
        self._run, self._path = run, path
        self._entries = {
            name: torch.tensor(positions(entropy, name, each.numel()), device=run.device)
            for name, each in run.student.named_parameters()
        }
        self._width = len(_KINDS) * sum(map(len, self._entries.values()))
        self._stream = None
        if run.ranks.is_main:
            self._stream = path.open("r+b" if done else "w+b")
            _cut(self._stream.fileno(), path, (done + 1) * self._width * 4 if done else 0)
            self._stream.seek(0, os.SEEK_END)
        if done == 0:
            self.append()

    def append(self) -> None:
        """Adds the row of the student as it is now."""
        row = torch.cat([self._entries_of(kind) for kind in _KINDS.values()]).float()
        if self._run.config.training.parallel == "fsdp":
            row = self._run.ranks.all_reduce(row)
        if self._stream is not None:
            self._stream.write(row.cpu().numpy().astype("<f4").tobytes())
            self._stream.flush()

    def sync(self) -> None:
        """Returns once the rows are on the disk; call it before the checkpoint that vouches for them."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Closes the file."""
        if self._stream is not None:
            self._stream.close()

    def save(self, out: Path) -> None:
        """Writes all rows as the arrays of `spec.experiments.custody` into `out`."""
        rows = np.fromfile(self._path, dtype="<f4").reshape(-1, len(_KINDS), self._width // len(_KINDS))
        save_file({kind: np.ascontiguousarray(rows[:, place]) for place, kind in enumerate(_KINDS)}, out / TRACE.name)

    def _entries_of(self, kind: str | None) -> Tensor:
        state = self._run.optimizer.state
        found = []
        # Looked up each time: FSDP exchanges the parameters of a module while they are whole.
        for name, parameter in self._run.student.named_parameters():
            tensor = parameter if kind is None else state.get(parameter, {}).get(kind, torch.zeros_like(parameter))
            found.append(local_entries(tensor.detach(), self._entries[name], self._run.ranks))
        return torch.cat(found)


def _cut(descriptor: int, path: Path, size: int) -> None:
    if os.fstat(descriptor).st_size < size:
        raise ExperimentError(
            f"{path} ends before the checkpoint that is to be resumed",
            hint="delete the folder to start this run again from step 0",
        )
    os.ftruncate(descriptor, size)
