"""Tiny training runs: their settings, what they leave behind, and ways to watch, change and kill them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from json_lines import read_rows
from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.engines.distill.training.step import StepModule
from refute.engines.distill.training.trainer import run_training
from refute.job import Fact, Job, ProgressCallback
from refute.spec.experiments.distill import TrainConfig

KD = {"ce_weight": 0.3, "kd_weight": 0.7}
CE_ONLY = {"ce_weight": 1.0, "kd_weight": 0.0}
BASE: dict[str, Any] = {
    "steps": 12,
    "batch_size": 8,
    "micro_batch_size": 8,
    "seq_len": 16,
    "learning_rate": 0.01,
    "min_learning_rate": 0.001,
    "temperature": 2.0,
    "eval_every": 5,
    "eval_windows": 6,
    "checkpoint_every": 4,
    "document_mask": False,
    **KD,
}
# With a schedule and a decay that show.
SCHEDULED: dict[str, Any] = {**BASE, "warmup_steps": 2, "weight_decay": 0.1}

Losses = tuple[torch.Tensor, ...]
_FORWARD = StepModule.forward


class KilledError(Exception):
    """Stands for a kill."""


def run_config(
    training: Mapping[str, object], *, teacher: Path | None, init: Path, corpus: Path, **more: object
) -> dict[str, object]:
    """What a `TrainConfig` is read from, on one thread; without a `teacher` the run has none."""
    place = None if teacher is None else {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher)}
    paths = {"teacher": place, "init": str(init / "model"), "corpus": str(corpus)}
    return {"training": dict(training), **paths, "threads": 1, **more}


def run(job: Job, **more: Any) -> None:
    """The run of a job's configuration, as the command makes it."""
    run_training(job, TrainConfig.model_validate_json(job.config), **more)


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The trained weights of a finished run."""
    return load_file(out / "model" / "model.safetensors")


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    """Bitwise equality of two sets of weights."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def summary(out: Path) -> dict[str, Any]:
    """summary.json of a finished run."""
    facts: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return facts


def untimed(path: Path) -> list[dict[str, Any]]:
    """Rows without what depends on the clock, and on which process made them."""
    return [{k: v for k, v in row.items() if k not in ("wall_s", "tokens_per_s", "attempt")} for row in read_rows(path)]


def asked_for(out: Path) -> list[dict[str, Any]]:
    """Evaluations of the schedule: each run scores the states that it keeps, too, and draws which these are."""
    last = len(read_rows(out / "metrics.jsonl"))
    every = json.loads((out / "summary.json").read_text(encoding="utf-8"))["effective_config"]["eval_every"]
    return [row for row in untimed(out / "evals.jsonl") if row["step"] % every == 0 or row["step"] == last]


def each_step(*acts: Callable[[int], object], stage: str = "distil") -> ProgressCallback:
    """A report that calls every act, in order, with the number of each step of `stage`."""

    def report(of: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if of == stage:
            for act in acts:
                act(step)

    return report


def kill_at(number: int) -> Callable[[int], None]:
    """Raises KilledError at step `number`."""

    def act(step: int) -> None:
        if step == number:
            raise KilledError

    return act


def patch_steps(monkeypatch: pytest.MonkeyPatch, change: Callable[[Batch, Losses], Losses]) -> None:
    """Let `change` see and replace what every training micro-batch gives."""

    def forward(self: StepModule, batch: Batch, answer: TeacherOutput | None, denominator: float | None) -> Losses:
        loss = _FORWARD(self, batch, answer, denominator)
        return change(batch, loss) if torch.is_grad_enabled() and denominator is not None else loss

    monkeypatch.setattr(StepModule, "forward", forward)
