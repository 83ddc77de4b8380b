"""What the first optimiser step of a run left, in a sample of every tensor: enough to tell what it was made of.

    first_step.safetensors   for each parameter NAME, of at most 64 evenly spaced entries: `index/NAME` (int64, into the
                             flattened tensor), `gradient/NAME` (what AdamW was given: its first moment, rescaled) and
                             `after/NAME` (the weights after the step), float32

The gradient is read from the optimiser, not from the loss: whatever lies between the two is covered.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from refute.engines.distill.training.build import Run
from refute.engines.distill.training.parallel import full_tensor
from refute.spec.experiments.evidence_files import FIRST_STEP

ENTRIES = 64


def sample_indices(size: int) -> Tensor:
    """At most 64 positions, evenly spaced over `size` entries, int64."""
    count = min(size, ENTRIES)
    return torch.arange(count, dtype=torch.int64) * size // count


def write_first_step(folder: Path, run: Run) -> None:
    """Writes first_step.safetensors after the first step of `run`; every rank must call it, the first one writes."""
    found: dict[str, Tensor] = {}
    beta: float = run.optimizer.param_groups[0]["betas"][0]
    for name, parameter in run.student.named_parameters():
        # AdamW keeps nothing for a parameter that never had a gradient.
        moment = run.optimizer.state[parameter].get("exp_avg", torch.zeros_like(parameter))
        moment, weights = (full_tensor(tensor.detach()).flatten().cpu() for tensor in (moment, parameter))
        index = sample_indices(len(weights))
        found[f"index/{name}"] = index
        found[f"gradient/{name}"] = moment[index].float() / (1.0 - beta)
        found[f"after/{name}"] = weights[index].float()
    if run.ranks.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(found, folder / FIRST_STEP.name)
