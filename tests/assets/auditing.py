"""A tiny training run and its audit, and what the falsifiers that need both measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refute.auditors.training_redo import redo_training
from refute.disk import file_sha256
from refute.engines.distill.experiments.train import train
from refute.falsifier.context import Context, Evidence
from refute.falsifier.loading import load_registry
from refute.job import Job
from refute.spec.experiments.training import Training
from training_runs import BASE

TRAINING: dict[str, Any] = {
    **BASE,
    "steps": 50,
    "batch_size": 4,
    "micro_batch_size": 2,
    "warmup_steps": 3,
    "weight_decay": 0.1,
    "eval_every": 25,
    "eval_windows": 4,
    "checkpoint_every": 10,
}


@dataclass(frozen=True)
class Audit:
    """One run of the engine (`job`), and its audit once it has been made."""

    training: Mapping[str, Any]
    processes: int
    job: Job
    make_job: Callable[..., Job]
    places: Mapping[str, Path]

    def train(self) -> None:
        """The run, as far as nothing stops it."""
        train(self.job)

    def redo(self) -> Path:
        """The audit of the finished run; gives its folder."""
        teacher = {"model": {"format": "hf", "path": "teacher"}, "path": str(self.places["teacher"])}
        config = {"run": "student", "training": dict(self.training), "teacher": teacher, "threads": 1}
        inputs = {"init": self.places["init"], "corpus": self.places["corpus"], "student": self.job.out}
        again = self.make_job("student_redo", config | {"processes": self.processes}, inputs)
        redo_training(again)
        return again.out

    def measure(self, falsifier: str) -> dict[str, float]:
        """What a built-in falsifier measures of run and audit, by name."""
        declared = load_registry([])[falsifier]
        return {each.name: each.value for each in declared.measure(Context(declared.parameters, self.evidence()))}

    def evidence(self) -> dict[str, Evidence]:
        """Run, audit and what the release declares."""
        release = self.make_job("release", {}).out
        training = Training.model_validate(dict(self.training)).model_dump(mode="json")
        declaration = {"distillation": {"training": training, "device": "cpu"}}
        (release / "release.json").write_text(json.dumps(declaration), encoding="utf-8")
        folders = {"student": self.job.out, "student_redo": self.make_job("student_redo", {}).out, "release": release}
        return {name: _evidence(name, folder) for name, folder in folders.items()}


def _evidence(name: str, folder: Path) -> Evidence:
    found = (path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}
    return Evidence(name, "0" * 64, folder, files)
