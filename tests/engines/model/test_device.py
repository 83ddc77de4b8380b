"""A device that is not there is refused in words."""

from __future__ import annotations

import pytest
import torch

from refute.engines.model.device import require_device
from refute.errors import MissingInputsError


def test_a_gpu_that_is_not_there_is_refused() -> None:
    """One GPU more than torch finds is an error that says how many there are; the CPU is always there."""
    found = torch.cuda.device_count()
    with pytest.raises(MissingInputsError, match=f"device cuda:{found}: torch finds {found} GPUs here"):
        require_device(f"cuda:{found}")
    assert require_device("cpu") == "cpu"
