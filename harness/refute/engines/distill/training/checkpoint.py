"""Saves and restores a training run: weights, optimiser, random state, step. Whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from refute.disk import file_sha256
from refute.engines.distill.training.parallel import full_tensor, shard_like
from refute.engines.distill.training.ranks import ALONE, Ranks
from refute.errors import ExperimentError, OtherConfigurationError

# Everything that must be equal for a run to be continued, as JSON.
Identity = Mapping[str, object]
_NAME = re.compile(r"^step-(\d{8})$")
_TENSORS = ("weights.safetensors", "optimizer.safetensors")
_HINT = "delete the folder to start this run again from step 0"

# What decides no number of a run, by its place in the identity: it may differ when a run is resumed.
_FREE = frozenset(
    f"training.{name}" for name in ("checkpoint_every", "keep_checkpoints", "prefetch", "teacher_patience_s")
)


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    identity: Identity,
    ranks: Ranks = ALONE,
    *,
    keep: int = 2,
) -> Path:
    """`save_state`, and then removes what is older than the newest `keep`.

    The one before the last always stays, so that the way to a checkpoint that is resumed can be made again by somebody
    else.
    """
    target = save_state(folder, step, model, optimizer, identity, ranks)
    if ranks.is_main:
        kept = checkpoints(folder)[-max(2, keep) :]
        for path in folder.iterdir():
            if path not in kept and (_NAME.match(path.name) or path.name.endswith(".tmp")):
                _remove(path)
    return target


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    identity: Identity,
    ranks: Ranks = ALONE,
) -> Path:
    """Writes folder/step-<step>/ (`step` optimiser steps are done).

    It is written under another name, flushed to the disk and renamed, so a kill or a full disk leaves the
    previous checkpoint in place. `identity` is everything that must be equal on resuming. Every rank must call
    it; the first one writes, for all. Raises ExperimentError when it cannot be written.
    """
    target = folder / f"step-{step:08d}"
    tensors = (model_weights(model), _optimizer_tensors(model, optimizer))
    random_states = ranks.all_gather(_random_states())
    if ranks.is_main and not target.exists():
        state = {"step": step, "identity": dict(identity), "random_states": random_states}
        _write(target, tensors, state)
    ranks.barrier()
    return target


def _write(target: Path, tensors: tuple[dict[str, Tensor], ...], state: dict[str, object]) -> None:
    folder, temporary = target.parent, target.with_name(f".{target.name}.tmp")
    try:
        _remove(temporary)
        temporary.mkdir(parents=True)
        for name, named in zip(_TENSORS, tensors, strict=True):
            save_file(named, temporary / name)
        state["sha256"] = {name: file_sha256(temporary / name) for name in _TENSORS}
        (temporary / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
        for path in (*sorted(temporary.iterdir()), temporary):
            _flush(path)
        temporary.rename(target)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        _remove(temporary)
        raise ExperimentError(
            f"checkpoint {target.name} cannot be written to {folder}: {error}",
            hint="free disk space; the previous checkpoint is intact and the next run resumes from it",
        ) from error


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step, or None."""
    found = checkpoints(folder)
    return found[-1] if found else None


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, the newest last; unfinished ones have another name and are not seen."""
    return sorted(path for path in folder.glob("step-*") if _NAME.match(path.name))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, identity: Identity, ranks: Ranks = ALONE
) -> int:
    """Restores weights, optimiser and this rank's random state from `path`; returns the number of steps done.

    Raises ExperimentError, with nothing restored, when a file is missing, truncated or altered, a number is
    not finite or tensors do not fit the model; OtherConfigurationError when it belongs to another configuration.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        step, found, digests = int(state["step"]), dict(state["identity"]), state["sha256"]
        random_states = [{kind: _bytes(text) for kind, text in one.items()} for one in state["random_states"]]
        altered = [name for name in _TENSORS if file_sha256(path / name) != digests[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"checkpoint {path} is incomplete: {error!r}", hint=_HINT) from error
    differences = differences_of(found, identity)
    if differences:
        raise OtherConfigurationError(
            f"checkpoint {path} was made by another configuration: {'; '.join(differences)}",
            hint=f"put these settings back, or {_HINT}; what may change is {', '.join(sorted(_FREE))}",
        )
    if altered:
        raise ExperimentError(f"checkpoint {path}: {', '.join(altered)} truncated or altered", hint=_HINT)
    weights, moments = (load_file(path / name) for name in _TENSORS)
    _refuse_unfit(path, _persistent(model), weights)
    _refuse_nonfinite(path, {**weights, **moments})
    optimizer_state = _optimizer_state(path, model, optimizer, moments)
    load_weights(model, weights)
    optimizer.load_state_dict(optimizer_state)
    torch.set_rng_state(random_states[ranks.rank]["cpu"])
    if "cuda" in random_states[ranks.rank]:
        torch.cuda.set_rng_state(random_states[ranks.rank]["cuda"])
    return step


def model_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's persistent tensors, whole, by name; every rank must ask where they lie in pieces."""
    return {name: full_tensor(tensor.detach()).contiguous() for name, tensor in _persistent(model).items()}


@torch.no_grad()
def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts whole tensors into the model, in pieces where it lies in pieces."""
    for name, tensor in _persistent(model).items():
        tensor.copy_(shard_like(weights[name], tensor))


def _persistent(model: nn.Module) -> dict[str, Tensor]:
    # Parameters and buffers come once each, unlike in state_dict(), where tied weights have two names.
    persistent = model.state_dict().keys()
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor for name, tensor in named.items() if name in persistent}


def _random_states() -> dict[str, str]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's
        states["cuda"] = torch.cuda.get_rng_state()
    return {kind: base64.b64encode(state.numpy().tobytes()).decode("ascii") for kind, state in states.items()}


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def differences_of(found: Identity, expected: Identity) -> list[str]:
    """What differs between two identities and decides a run's numbers, a line each."""
    return sorted(_differences(dict(found), json.loads(json.dumps(dict(expected)))))


def _differences(found: object, expected: object, key: str = "") -> Iterator[str]:
    """What differs between two JSON values, a line each."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in found.keys() | expected.keys():
            yield from _differences(found.get(name), expected.get(name), f"{key}.{name}" if key else name)
    elif found != expected and key not in _FREE:
        yield f"{key} was {found}, is {expected}"


def _optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}:{name}": full_tensor(value).contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _optimizer_state(
    path: Path, model: nn.Module, optimizer: Optimizer, moments: Mapping[str, Tensor]
) -> dict[str, object]:
    """The optimiser's own state_dict with `moments` put in, addressed by parameter position as torch does."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        kind, _, name = key.partition(":")
        by_name.setdefault(name, {})[kind] = tensor
    expected = sorted(names[id(parameter)] for parameter in parameters)
    if moments and sorted(by_name) != expected:
        raise ExperimentError(f"checkpoint {path}: its optimiser state is of other parameters", hint=_HINT)
    state = {
        index: {
            # `step` counts and is no tensor of the parameter's shape.
            kind: shard_like(tensor, parameter) if tensor.shape == parameter.shape else tensor
            for kind, tensor in by_name[names[id(parameter)]].items()
        }
        for index, parameter in enumerate(parameters)
        if by_name
    }
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def _refuse_unfit(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    have = {name: tuple(tensor.shape) for name, tensor in found.items()}
    unfit = sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
    if unfit:
        raise ExperimentError(f"checkpoint {path} does not fit the model: {unfit[:5]}", hint=_HINT)


def _refuse_nonfinite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    bad = sorted(name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all()))
    if bad:
        raise ExperimentError(f"checkpoint {path} holds numbers that are not finite: {bad[:5]}", hint=_HINT)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
