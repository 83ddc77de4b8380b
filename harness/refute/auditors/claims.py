"""What a run has left of itself: its trace, how it can be redone, and how far others are from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from refute.auditors.adamw import Moments
from refute.auditors.states import sample
from refute.errors import ExperimentError
from refute.spec.experiments.custody import Custody
from refute.spec.experiments.evidence_files import CUSTODY, TRACE, TRAINING_SUMMARY


@dataclass(frozen=True, slots=True)
class Claims:
    """The run in `folder`: its custody, its trace by kind (steps + 1, N), and the step of the model it releases."""

    folder: Path
    custody: Custody
    trace: Mapping[str, Tensor]
    released: int

    @classmethod
    def of(cls, folder: Path, name: str, steps: int) -> Claims:
        """Read from `folder`, evidence `name` of a run of `steps`.

        Raises EvidenceError for files of another kind, ExperimentError for a trace that has not a row for every step.
        """
        custody, summary = CUSTODY.read(folder, name), TRAINING_SUMMARY.read(folder, name)
        where = f"evidence {name}/{TRACE.name}"
        try:
            trace = load_file(folder / TRACE.name)
        except (OSError, SafetensorError) as error:
            raise ExperimentError(
                f"evidence {name}/{TRACE.name} cannot be read: {error}", hint="train again"
            ) from error
        rows = {kind: len(each) for kind, each in trace.items()}
        if rows != dict.fromkeys(TRACE.tensors, steps + 1):
            raise ExperimentError(
                f"{where} has rows {rows}, expected {steps + 1} of each: one a step, one before",
                hint="train again",
            )
        return cls(folder, custody, trace, summary.model_step)

    def broken_at(self, step: int, weights: Mapping[str, Tensor], moments: Mapping[str, Moments]) -> int:
        """Sampled entries of a whole state that are not, to the last bit, what the trace says of `step`."""
        first, second = ({name: getattr(each, kind) for name, each in moments.items()} for kind in ("first", "second"))
        kinds = {"weights": weights, "first_moment": first, "second_moment": second}
        return sum(self._differing(step, kind, tensors) for kind, tensors in kinds.items())

    def broken_release(self, weights: Mapping[str, Tensor]) -> int:
        """Sampled entries of the released weights that are not what the trace says of their step."""
        return self._differing(self.released, "weights", weights)

    def _differing(self, step: int, kind: str, tensors: Mapping[str, Tensor]) -> int:
        claimed, found = self.trace[kind][step], sample(tensors, self.custody.entropy)
        if claimed.shape != found.shape:
            raise ExperimentError(
                f"{self.folder}/{TRACE.name} has {len(claimed)} entries a row, the model needs {len(found)}",
                hint="train again",
            )
        return int((claimed != found).sum())


def distance(start: Mapping[str, Tensor], claimed: Mapping[str, Tensor], redone: Mapping[str, Tensor]) -> float:
    """Of whole models: norm of redone - claimed, by the longer of the two ways from `start`.

    A run that stood still is so as far away as it should have gone.
    """
    return _apart(redone, claimed) / max(_apart(claimed, start), _apart(redone, start))


def _apart(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    if left.keys() != right.keys():
        raise ExperimentError(f"two models of one run have different parameters: {sorted(left.keys() ^ right.keys())}")
    squares = [(left[name].cpu().double() - right[name].cpu().double()).square().sum() for name in left]
    return float(torch.stack(squares).sum().sqrt())
