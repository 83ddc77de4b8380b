"""The processes of one run: which of them this is, and the few things that they tell each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from refute.errors import UsageError

Value = TypeVar("Value")

# A rank that dies closes its connections, and the others fail at once. This is for one that hangs, and must outlast
# the longest wait in a healthy run: for rank 0 to write a checkpoint.
_TIMEOUT = timedelta(minutes=10)

# DDP's reducer may let go of the process group last, holding Python's lock while it waits for gloo's thread, which
# needs that lock to drop the last collective's tensors: a process that has done its work would never end. A reference
# that outlives the reducer leaves the end to the group's own destructor, which releases the lock.
_KEPT: list[object] = []


@dataclass(frozen=True, slots=True)
class Ranks:
    """Process `rank` of `world_size`; `local_rank` counts on one machine and names its GPU."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def all_reduce(self, numbers: Tensor) -> Tensor:
        """The sum over all ranks, on each of them."""
        if self.world_size > 1:
            distributed.all_reduce(numbers)
        return numbers

    def all_gather(self, value: Value) -> list[Value]:
        """Every rank's value, in the order of ranks, on each of them."""
        if self.world_size == 1:
            return [value]
        values: list[Value | None] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # every place was filled

    def barrier(self) -> None:
        """Return once every rank is here."""
        if self.world_size > 1:
            distributed.barrier()

    def device(self, kind: str) -> str:
        """This rank's device."""
        return f"cuda:{self.local_rank}" if kind == "cuda" and self.world_size > 1 else kind


ALONE = Ranks()


def leave_process_group() -> None:
    """End a rank of several, whose work is done and written, at once; a process that runs alone goes on.

    Unloading torch beside the threads of a process group aborts such a process now and then (torch 2.13, gloo, on a
    busy machine: "terminate called without an active exception"), and torchrun would call the run failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """The ranks that torchrun started, connected (NCCL on CUDA, gloo on CPU); a single one without torchrun."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ["LOCAL_RANK"]))
    if device == "cuda":
        if ranks.local_rank >= torch.cuda.device_count():
            raise UsageError(
                f"rank {ranks.rank} wants GPU {ranks.local_rank}, this machine has {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(ranks.local_rank)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_TIMEOUT)
    _KEPT.append(distributed.group.WORLD)
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
