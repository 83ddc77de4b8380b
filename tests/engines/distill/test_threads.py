"""torch on one thread, and then as before."""

from __future__ import annotations

import pytest
import torch

from refute.engines.distill.threads import one_thread


def test_one_thread_inside_and_as_many_as_before_after_an_error() -> None:
    """Whatever ends the block."""
    before, inside = torch.get_num_threads(), list[int]()
    torch.set_num_threads(3)

    def fail() -> None:
        inside.append(torch.get_num_threads())
        raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            fail()
        assert (inside, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
