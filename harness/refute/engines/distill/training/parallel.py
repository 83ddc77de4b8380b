"""How ranks share a model: whole copies whose gradients are averaged (DDP), or pieces of one (FSDP2)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from refute.engines.distill.training.ranks import Ranks
from refute.engines.distill.training.step import StepModule

# Ranks start with equal buffers and never change them. torch renamed the argument, and warns of the old name.
_NEW_NAME = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_KEEP_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _NEW_NAME else "broadcast_buffers": False}


def parallelize(module: StepModule, parallel: Literal["ddp", "fsdp"], ranks: Ranks) -> nn.Module:
    """`module` as the ranks share it; a single rank keeps it whole."""
    if ranks.world_size == 1:
        return module
    if parallel == "ddp":
        return DistributedDataParallel(module, **_KEEP_BUFFERS)
    for layer in _layers(module.student):
        fully_shard(layer)
    fully_shard(module)
    return module


@contextmanager
def gradient_accumulation(module: nn.Module, *, last: bool) -> Iterator[None]:
    """Around one micro-batch: gradients are exchanged after the last one of a step only."""
    if isinstance(module, DistributedDataParallel) and not last:
        with module.no_sync():
            yield
        return
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
    yield


def full_tensor(tensor: Tensor) -> Tensor:
    """All of a tensor that may lie in pieces; every rank must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, place: Tensor) -> Tensor:
    """A whole `tensor` put where `place` lies, in pieces if that is in pieces."""
    if isinstance(place, DTensor):
        return distribute_tensor(tensor.to(place.device), place.device_mesh, place.placements)
    return tensor


def local_entries(tensor: Tensor, index: Tensor, ranks: Ranks) -> Tensor:
    """`tensor.flatten()[index]` as far as this rank answers for it, zero elsewhere; the ranks' sum is all of it.

    For a tensor in pieces it answers for its own; for one that every rank holds, the main rank does.
    """
    if not isinstance(tensor, DTensor):
        return tensor.flatten()[index] * float(ranks.is_main)
    # FSDP cuts the first dimension into pieces of equal size, of which the last ones may be short or empty.
    mesh, piece = tensor.device_mesh, tensor.to_local().flatten()
    start = mesh.get_local_rank() * -(-tensor.shape[0] // mesh.size()) * (tensor.numel() // tensor.shape[0])
    here = (index >= start) & (index < start + len(piece))
    found = torch.zeros(len(index), dtype=tensor.dtype, device=piece.device)
    found[here] = piece[index[here] - start]
    return found


def clip_gradients(module: nn.Module, largest: float) -> float:
    """Scale the gradient to a norm of at most `largest`; returns the norm before."""
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), largest)
    return float(full_tensor(norm))


def _layers(student: nn.Module) -> list[nn.Module]:
    """The transformer layers: the longest list of modules."""
    lists = [list(module) for module in student.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])
