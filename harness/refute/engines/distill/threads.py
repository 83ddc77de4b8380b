"""torch on one thread, for work so small that a second one only waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes on one thread of this process; afterwards on as many as before.

    Batches of a few rows gain nothing from a second thread, and on a busy machine wait for it (measured: 45 x).
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
