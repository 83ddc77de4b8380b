"""A run at a step: its weights and AdamW's moments in full, as it kept them or as the init begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from refute.auditors.adamw import Moments
from refute.errors import ExperimentError
from refute.spec.experiments.custody import STATES, positions

_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}


def put_state(run: Path, step: int, init: Mapping[str, Tensor], student: PreTrainedModel) -> dict[str, Moments]:
    """Puts the state of `run` after `step` into `student`, its `init` for step 0; returns the moments by parameter.

    Raises ExperimentError for a state that the run did not keep, or that is of another model.
    """
    named = dict(student.named_parameters())
    weights, moments = (dict(init), {}) if step == 0 else _read(run, step)
    if {name: each.shape for name, each in weights.items() if name in named} != {n: p.shape for n, p in named.items()}:
        raise ExperimentError(f"the state of {run} after step {step} is of another model", hint="train again")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(weights[name])
    return {name: _moments(moments, name, parameter, step) for name, parameter in named.items()}


def sample(tensors: Mapping[str, Tensor], entropy: str) -> Tensor:
    """The entries of each tensor that the run's trace holds, in its order, float32 on the CPU."""
    parts = [each.detach().flatten()[positions(entropy, name, each.numel())] for name, each in tensors.items()]
    return torch.cat(parts).float().cpu()


def _read(run: Path, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    folder = run / STATES / f"step-{step:08d}"
    try:
        return load_file(folder / "weights.safetensors"), load_file(folder / "optimizer.safetensors")
    except OSError as error:
        raise ExperimentError(
            f"the run kept no state after step {step}, which is to be redone from there: {error}", hint="train again"
        ) from error


def _moments(found: Mapping[str, Tensor], name: str, parameter: Tensor, step: int) -> Moments:
    """A parameter that never had a gradient has none yet."""
    if f"exp_avg:{name}" not in found:
        return Moments.of(parameter.detach())
    first, second = (found[f"{kind}:{name}"].to(parameter.device).clone() for kind in _MOMENTS.values())
    return Moments(first, second, step)
