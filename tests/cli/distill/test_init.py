"""`refute distill init`: the layers that lose least, on held-out windows that no evaluation looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoConfig

from refute.cli.distill.init import Cut, run_init, show_choice
from refute.errors import UsageError


@pytest.fixture
def cut(teacher_folder: Path, shards_folder: Path, tmp_path: Path) -> Cut:
    """Two of the teacher's four layers, measured on three windows."""
    return Cut(teacher_folder, shards_folder, tmp_path / "init", 2, 16, 3, "cpu", 1)


def test_the_best_choice_becomes_a_model(cut: Cut) -> None:
    """All choices are measured, the lowest loss is taken, and a second call does not overwrite it."""
    choice = run_init(cut)
    best = min(choice["candidates"], key=lambda each: each["loss"])
    assert (choice["chosen"], choice["probe_windows"]) == (best["layers"], 3)
    assert choice["init_loss"] == pytest.approx(best["loss"], abs=1e-5)
    assert AutoConfig.from_pretrained(cut.out / "model").num_hidden_layers == 2
    assert f"layers {best['layers']} of {len(choice['candidates'])} choices" in show_choice(choice, cut.out)
    with pytest.raises(UsageError, match="holds an init already"):
        run_init(cut)


def test_too_few_windows_are_named(cut: Cut) -> None:
    """With how many there are, before the teacher is loaded."""
    with pytest.raises(UsageError, match=r"holds \d+ held-out windows of 16 ids, 5000 are needed"):
        run_init(replace(cut, windows=5000))
