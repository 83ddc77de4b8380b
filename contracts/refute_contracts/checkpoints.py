"""A run that was stopped and continued is the run that was not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.engines.distill.threads import one_thread
from refute.errors import ExperimentError
from refute_contracts.refusing import refuses
from refute_contracts.scratch import scratch

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from refute.check.contracts.tolerance import Tolerance

_LOAD = "refute.engines.distill.training.checkpoint:load_checkpoint"
_MINE = {"run": "mine", "training": {"steps": 9, "seed": 17}}


def build(seed: int, rate: float = 0.05) -> tuple[nn.Module, Optimizer]:
    """A small model with dropout, whose steps draw from torch's random state, and its AdamW."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)


def walk(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    """Optimiser steps on random data."""
    import torch

    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(model(torch.randn(5, 3)).pow(2).sum())
        optimizer.step()


def numbers(model: nn.Module) -> list[float]:
    """All weights."""
    return [value for tensor in model.state_dict().values() for value in tensor.flatten().tolist()]


@given(seed=st.integers(0, 999), before=st.integers(0, 3), after=st.integers(1, 3), rate=st.sampled_from([1e-3, 0.1]))
def continuing_is_not_stopping(seed: int, before: int, after: int, rate: float, within: Tolerance) -> None:
    """Weights, optimiser moments, random state and step count all return."""
    import torch

    from refute.engines.distill.training.checkpoint import load_checkpoint, save_checkpoint

    with one_thread(), torch.random.fork_rng(devices=[]), scratch() as folder:
        model, optimizer = build(seed, rate)
        walk(model, optimizer, before)
        place = save_checkpoint(Path(folder), before, model, optimizer, _MINE)
        walk(model, optimizer, after)
        other, its_optimizer = build(seed + 1, rate)
        assert load_checkpoint(place, other, its_optimizer, _MINE) == before
        walk(other, its_optimizer, after)
        assert within.admits(numbers(other), numbers(model))


@given(name=st.sampled_from(["weights", "optimizer"]), place=st.integers(1, 40), bit=st.integers(0, 7))
def altered_checkpoints_are_refused(name: str, place: int, bit: int, within: Tolerance) -> None:
    """One flipped bit among the numbers, and nothing is restored."""
    import torch

    from refute.engines.distill.training.checkpoint import load_checkpoint, save_checkpoint

    with one_thread(), torch.random.fork_rng(devices=[]), scratch() as folder:
        model, optimizer = build(1)
        walk(model, optimizer, 1)
        saved = save_checkpoint(Path(folder), 1, model, optimizer, _MINE)
        path = saved / f"{name}.safetensors"
        data = bytearray(path.read_bytes())
        data[-place] ^= 1 << bit
        path.write_bytes(data)
        other, its_optimizer = build(2)
        untouched = numbers(other)
        assert refuses(ExperimentError, lambda: load_checkpoint(saved, other, its_optimizer, _MINE))
        assert within.admits(numbers(other), untouched)


@given(key=st.sampled_from(["steps", "seed", "more"]), value=st.none() | st.integers(0, 20) | st.text(max_size=3))
def checkpoints_of_other_runs_are_refused(key: str, value: object) -> None:
    """Any one difference of configuration, in a value or a key."""
    import torch

    from refute.engines.distill.training.checkpoint import load_checkpoint, save_checkpoint

    theirs = copy.deepcopy(_MINE)
    theirs["training"][key] = value  # type: ignore[index]  # the part that is a mapping
    assume(theirs != _MINE and not (key == "more" and value is None))
    with torch.random.fork_rng(devices=[]), scratch() as folder:
        model, optimizer = build(1)
        saved = save_checkpoint(Path(folder), 0, model, optimizer, theirs)
        load_checkpoint(saved, model, optimizer, theirs)
        assert refuses(ExperimentError, lambda: load_checkpoint(saved, model, optimizer, _MINE))


moments_not_restored = Rewrite(_LOAD, {"optimizer.load_state_dict(optimizer_state)": "pass"})
first_moment_not_saved = Rewrite(
    "refute.engines.distill.training.checkpoint:_optimizer_tensors",
    {"full_tensor(value).contiguous()": 'full_tensor(value).contiguous() * (key != "exp_avg")'},
)
random_state_not_restored = Rewrite(_LOAD, {'torch.set_rng_state(random_states[ranks.rank]["cpu"])': "pass"})
weights_not_restored = Rewrite(_LOAD, {"load_weights(model, weights)": "pass"})
one_step_more = Rewrite(_LOAD, {"return step": "return step + 1"})
digests_not_compared = Rewrite(_LOAD, {"if altered:": "if False:"})
restored_before_it_is_checked = Rewrite(
    _LOAD,
    {
        "differences = differences_of(": (
            "load_weights(model, load_file(path / _TENSORS[0])); differences = differences_of("
        ),
    },
)
identity_not_compared = Rewrite(_LOAD, {"if differences:": "if False:"})
