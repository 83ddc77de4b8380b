"""A device that is not there is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.model.device import require_device
from refute.engines.model.folder import load_model
from refute.errors import MissingInputsError
from refute.spec.release import HfModel


def test_a_gpu_that_is_not_there_is_refused() -> None:
    """One GPU more than torch finds is an error that says how many there are; the CPU is always there."""
    found = torch.cuda.device_count()
    with pytest.raises(MissingInputsError, match=f"device cuda:{found}: torch finds {found} GPUs here"):
        require_device(f"cuda:{found}")
    assert require_device("cpu") == "cpu"


def test_no_model_is_read_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """Torch would say so after the whole file, and in words about itself."""
    device, place = f"cuda:{torch.cuda.device_count()}", tmp_path / "no-model"
    with pytest.raises(MissingInputsError, match=f"device {device}"):
        load_model(place, device=device)
    with pytest.raises(MissingInputsError, match=f"device {device}"):
        load_teacher(HfModel(format="hf", path="no-model"), place, device=device)
