"""A run that several processes share, as an experiment: the same student, progress passed on, failures in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from refute.distill.launch import train
from refute.errors import MissingInputsError, NonFiniteError, RefuteError
from refute.job import Fact, Job

TRAINING: dict[str, Any] = {
    "steps": 3,
    "batch_size": 4,
    "micro_batch_size": 2,
    "seq_len": 16,
    "learning_rate": 0.01,
    "min_learning_rate": 0.001,
    "ce_weight": 0.3,
    "kd_weight": 0.7,
    "temperature": 2.0,
    "eval_every": 2,
    "eval_windows": 3,
    "checkpoint_every": 2,
}


@pytest.fixture
def shared(
    make_job: Callable[..., Job], teacher_folder: Path, init_evidence: Path, corpus_evidence: Path
) -> Callable[..., Job]:
    """Makes jobs for so many processes."""

    def make(processes: int, **changes: object) -> Job:
        config = {
            "training": {**TRAINING},
            "teacher": {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher_folder)},
            "init": str(init_evidence / "model"),
            "corpus": str(corpus_evidence),
            "threads": 1,
            "processes": processes,
        }
        return make_job(f"of-{processes}", {**config, **changes})

    return make


def weights(job: Job) -> dict[str, torch.Tensor]:
    """The trained weights."""
    return load_file(job.out / "model" / "model.safetensors")


def test_two_processes_train_the_student_of_one(shared: Callable[..., Job]) -> None:
    """Weights equal to 1e-5, every step reported once, and the summary says how many took part."""
    said: list[tuple[str, int]] = []

    def note(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        said.append((stage, step))

    alone, together = shared(1), shared(2)
    train(alone)
    train(Job(together.name, together.config, {}, together.out, together.scratch, note))
    others = weights(together)
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-5, atol=1e-6)
    assert [step for stage, step in said if stage == "distil"] == [1, 2, 3]
    assert json.loads((together.out / "summary.json").read_text(encoding="utf-8"))["ranks"] == 2


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"corpus": "/nowhere"}, MissingInputsError, r"rank \d: /nowhere holds no manifest.json"),
        ({"training": {**TRAINING, "learning_rate": 1e30}}, NonFiniteError, r"rank \d: .* at step \d"),
    ],
)
def test_a_failing_rank_says_why(
    shared: Callable[..., Job], changes: dict[str, object], kind: type[RefuteError], words: str
) -> None:
    """Its own error arrives, of its own kind, and no rank is left waiting for another."""
    with pytest.raises(kind, match=words):
        train(shared(2, **changes))
