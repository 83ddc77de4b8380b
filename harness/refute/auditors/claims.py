"""What a run has left of itself: its trace, how it can be redone, and how far others are from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from refute.auditors.adamw import Moments
from refute.auditors.states import sample
from refute.errors import ExperimentError
from refute.spec.experiments.custody import Custody
from refute.spec.experiments.evidence_files import CUSTODY, TRACE, TRAINING_SUMMARY
from refute.spec.experiments.training import Training


@dataclass(frozen=True, slots=True)
class Claims:
    """The run in `folder`: its custody, its trace by kind (steps + 1, N), the step of the model that it releases, and
    what that one's weights were rounded to."""

    folder: Path
    custody: Custody
    trace: Mapping[str, Tensor]
    released: int
    dtype: torch.dtype

    @classmethod
    def of(cls, folder: Path, name: str, training: Training) -> Claims:
        """Read from `folder`, evidence `name` of a run that was declared as `training`.

        Raises EvidenceError for files of another kind, ExperimentError for a trace that has not a row for every step.
        """
        steps = training.steps
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
        return cls(folder, custody, trace, summary.model_step, getattr(torch, training.save_dtype))

    def broken_at(self, step: int, weights: Mapping[str, Tensor], moments: Mapping[str, Moments]) -> int:
        """Sampled entries of a whole state that are not, to the last bit, what the trace says of `step`."""
        first, second = ({name: getattr(each, kind) for name, each in moments.items()} for kind in ("first", "second"))
        kinds = {"weights": weights, "first_moment": first, "second_moment": second}
        return sum(self._differing(step, kind, tensors) for kind, tensors in kinds.items())

    def broken_release(self, weights: Mapping[str, Tensor]) -> int:
        """Sampled entries of the released weights that are not what the trace says of their step, rounded."""
        return self._differing(self.released, "weights", weights, self.dtype)

    def unrounded(self, released: Mapping[str, Tensor], redone: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What may have been rounded to the `released` weights: of all that, what is nearest to the `redone` ones."""
        near = ((name, each, redone.get(name, each).to(each)) for name, each in released.items())
        return {name: _unrounded(each, other, self.dtype) for name, each, other in near}

    @torch.no_grad()
    def round_as_released(self, student: PreTrainedModel) -> None:
        """Rounds every weight as those of the released model are."""
        for parameter in student.parameters():
            parameter.copy_(parameter.to(self.dtype))

    def _differing(
        self, step: int, kind: str, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> int:
        claimed, found = self.trace[kind][step].to(dtype).float(), sample(tensors, self.custody.entropy)
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


def _unrounded(released: Tensor, redone: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 like `released`. Rounding moves a number by half of the step to the next one: of its size, by eps / 2 at
    most, and of what is smaller than the smallest normal number by that part of it."""
    if dtype == torch.float32:
        return released
    info = torch.finfo(dtype)
    reach = released.abs().clamp(min=info.smallest_normal) * (info.eps / 2)
    return released + (redone - released).clamp(-reach, reach)


def _apart(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    if left.keys() != right.keys():
        raise ExperimentError(f"two models of one run have different parameters: {sorted(left.keys() ^ right.keys())}")
    squares = [(left[name].cpu().double() - right[name].cpu().double()).square().sum() for name in left]
    return float(torch.stack(squares).sum().sqrt())
