"""What a run will take is known from its configuration and the headers of its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refute.cli.distill.run import read_config, show_plan
from refute.engines.distill.plan import plan
from refute.errors import MissingInputsError

STUDENT, TEACHER = 300 * 32 + 2 * 9_280 + 32, 300 * 32 + 4 * 9_280 + 32


def _plan(path: Path, **costs: float) -> dict[str, Any]:
    return plan(read_config(path), **costs).as_json()


def test_the_figures_are_those_by_hand(write_config: Callable[..., Path]) -> None:
    """Two layers of nine thousand parameters over 300 rows, a teacher of four, 12 steps of 8 windows of 15 tokens."""
    found = _plan(write_config(), tflops=0.001, price=10.0)
    assert (found["student_parameters"], found["teacher_parameters"]) == (STUDENT, TEACHER)
    assert (found["student_bytes"], found["optimizer_bytes"]) == (4 * STUDENT, 12 * STUDENT)
    assert (found["teacher_bytes"], found["disk_bytes"]) == (4 * TEACHER, 100 * STUDENT)
    assert found["tokens"] == 12 * 8 * 15
    assert found["operations"] == 12 * 8 * 15 * (6 * STUDENT + 2 * TEACHER)
    assert found["hours"] == pytest.approx(found["operations"] / 1e9 / 3600)
    assert found["cost"] == pytest.approx(10 * found["hours"])
    assert f"student {STUDENT:,} parameters, teacher {TEACHER:,}" in show_plan(found)


def test_what_is_not_asked_costs_nothing(write_config: Callable[..., Path]) -> None:
    """Without KD no teacher answers; pieces of a student are shared; activations made again are counted."""
    alone = _plan(write_config(ce_weight=1.0, kd_weight=0.0, gradient_checkpointing=True))
    assert alone["operations"] == alone["tokens"] * 8 * STUDENT
    assert (alone["hours"], alone["cost"]) == (None, None)
    assert "give --tflops" in show_plan(alone)
    shared = _plan(write_config("shared", "processes: 2\n", parallel="fsdp", dtype="bfloat16", keep_checkpoints=4))
    assert (shared["student_bytes"], shared["optimizer_bytes"]) == (2 * STUDENT, 6 * STUDENT)
    assert (shared["teacher_bytes"], shared["disk_bytes"]) == (2 * TEACHER, 4 * (3 * 10 + 1) * STUDENT)


def test_a_model_that_is_not_there_is_named(write_config: Callable[..., Path], tmp_path: Path) -> None:
    """A plan of nothing is no plan."""
    path = write_config()
    path.write_text(path.read_text(encoding="utf-8").replace("init: ", f"init: {tmp_path}/absent #"), encoding="utf-8")
    with pytest.raises(MissingInputsError, match="absent"):
        _plan(path)
