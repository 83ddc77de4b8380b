"""Scalars reach TensorBoard's files, and only for those who ask."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refute.engines.distill.tensorboard import tensorboard_writer
from refute.errors import MissingDependencyError


def test_numbers_become_scalars_at_their_step(tmp_path: Path) -> None:
    """What TensorBoard reads back is what the rows said; None and text are no scalars."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard_writer(str(tmp_path)) as mirror:
        mirror({"step": 3, "loss": 1.5, "kl": None})
        mirror({"step": 4, "loss": 1.25, "note": "text"})
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(3, 1.5), (4, 1.25)]


def test_without_a_folder_nothing_is_loaded_or_written(tmp_path: Path) -> None:
    """A run without TensorBoard does not need it."""
    with tensorboard_writer(None) as mirror:
        mirror({"step": 1, "loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_absent_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError) as caught, tensorboard_writer(str(tmp_path)):
        pass
    assert caught.value.hint == "pip install 'refute[tensorboard]'"
