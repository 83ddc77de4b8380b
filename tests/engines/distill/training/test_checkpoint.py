"""A checkpoint is whole or absent, restores bitwise, and is refused when it is not this run's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from refute.disk import file_sha256
from refute.engines.distill.training import checkpoint
from refute.engines.distill.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from refute.errors import ExperimentError, OtherConfigurationError

MINE = {"run": "mine", "training": {"steps": 4}}


class Tied(nn.Module):
    """Two names for one weight, as in a language model with tied embeddings."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.LayerNorm(3)


def build(seed: int) -> tuple[Tied, torch.optim.AdamW]:
    """A model and its optimiser, before any step."""
    model = Tied(seed)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def walk(model: Tied, optimizer: torch.optim.AdamW, steps: int) -> None:
    """Some optimiser steps that draw from torch's random state."""
    for _ in range(steps):
        optimizer.zero_grad()
        model.head(model.norm(model.embed(torch.randint(0, 5, (4,))))).pow(2).sum().backward()
        optimizer.step()


def test_restored_run_continues_bitwise(tmp_path: Path) -> None:
    """Weights, moments and random state return: three more steps are those of the run that was not stopped."""
    model, optimizer = build(1)
    walk(model, optimizer, 4)
    save_checkpoint(tmp_path, 4, model, optimizer, MINE)
    walk(model, optimizer, 3)
    other, other_optimizer = build(2)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert load_checkpoint(found, other, other_optimizer, MINE) == 4
    walk(other, other_optimizer, 3)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_a_run_before_its_first_step_restores(tmp_path: Path) -> None:
    """An optimiser without state is a valid checkpoint: a run may stop at its very first step."""
    model, optimizer = build(1)
    path = save_checkpoint(tmp_path, 0, model, optimizer, MINE)
    other, other_optimizer = build(2)
    assert load_checkpoint(path, other, other_optimizer, MINE) == 0
    assert torch.equal(model.embed.weight, other.embed.weight)


def test_the_newest_two_are_kept_and_leftovers_go(tmp_path: Path) -> None:
    """Older checkpoints and a half-written one disappear once a newer one is whole; the way to that one stays known."""
    model, optimizer = build(1)
    save_checkpoint(tmp_path, 1, model, optimizer, MINE)
    save_checkpoint(tmp_path, 2, model, optimizer, MINE)
    (tmp_path / ".step-00000003.tmp").mkdir()
    save_checkpoint(tmp_path, 4, model, optimizer, MINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000004"]


def test_half_written_checkpoint_is_not_seen(tmp_path: Path) -> None:
    """What a kill leaves behind has another name."""
    (tmp_path / ".step-00000009.tmp").mkdir()
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


def test_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way is an ExperimentError, and the old state still loads."""
    model, optimizer = build(1)
    save_checkpoint(tmp_path, 1, model, optimizer, MINE)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_flush", full)
        with pytest.raises(ExperimentError, match=r"step-00000002 cannot be written .* No space left"):
            save_checkpoint(tmp_path, 2, model, optimizer, MINE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert load_checkpoint(tmp_path / "step-00000001", model, optimizer, MINE) == 1


def test_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    """Resuming with other settings would give a run that nobody configured."""
    model, optimizer = build(1)
    path = save_checkpoint(tmp_path, 1, model, optimizer, {"run": "theirs"})
    with pytest.raises(
        OtherConfigurationError, match="another configuration: run was theirs, is mine; training was None"
    ):
        load_checkpoint(path, model, optimizer, MINE)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors"])
def test_altered_or_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    """One flipped byte, a cut or a missing file is noticed before anything is restored."""
    model, optimizer = build(1)
    walk(model, optimizer, 1)
    path = save_checkpoint(tmp_path, 1, model, optimizer, MINE)
    before = model.embed.weight.detach().clone()
    walk(model, optimizer, 1)
    whole = (path / name).read_bytes()
    for damaged in (whole[:-8], whole[:-1] + bytes([whole[-1] ^ 1])):
        (path / name).write_bytes(damaged)
        with pytest.raises(ExperimentError, match=f"{name} truncated or altered"):
            load_checkpoint(path, model, optimizer, MINE)
    (path / name).unlink()
    with pytest.raises(ExperimentError, match="is incomplete"):
        load_checkpoint(path, model, optimizer, MINE)
    assert not torch.equal(model.embed.weight, before)


def replace_tensor(path: Path, old: str, new: str, tensor: torch.Tensor) -> None:
    """Forge a tensor in a checkpoint, digest included."""
    weights = load_file(path / "weights.safetensors")
    del weights[old]
    save_file({**weights, new: tensor}, path / "weights.safetensors")
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    state["sha256"]["weights.safetensors"] = file_sha256(path / "weights.safetensors")
    (path / "state.json").write_text(json.dumps(state), encoding="utf-8")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """A NaN inside a well-formed checkpoint does not come back to life."""
    model, optimizer = build(1)
    path = save_checkpoint(tmp_path, 1, model, optimizer, MINE)
    replace_tensor(path, "norm.bias", "norm.bias", torch.tensor([0.0, float("nan"), 0.0]))
    with pytest.raises(ExperimentError, match=r"not finite: \['norm.bias'\]"):
        load_checkpoint(path, model, optimizer, MINE)


@pytest.mark.parametrize(("name", "size"), [("norm.bias", 4), ("other.bias", 3)])
def test_tensors_of_another_model_are_refused(tmp_path: Path, name: str, size: int) -> None:
    """A tensor of another shape or name is not skipped."""
    model, optimizer = build(1)
    path = save_checkpoint(tmp_path, 1, model, optimizer, MINE)
    replace_tensor(path, "norm.bias", name, torch.zeros(size))
    with pytest.raises(ExperimentError, match=r"does not fit the model: .*norm.bias"):
        load_checkpoint(path, model, optimizer, MINE)
