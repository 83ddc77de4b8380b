"""An init is found again in the teacher it was cut from; one that was damaged, or chosen to lose, is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from refute.auditors.init_redo import redo_init, subsets
from refute.engines.distill.experiments.init import build_init
from refute.engines.distill.experiments.pruning import candidate_subsets
from refute.falsifier.context import Context, Evidence
from refute.falsifier.loading import load_registry
from refute.job import Job

Measured = Callable[[Job], dict[str, float]]
PRUNE = {"method": "depth_prune", "keep_layers": 2}


@pytest.fixture
def made(make_job: Callable[..., Job], teacher_folder: Path, corpus_evidence: Path) -> Callable[..., Job]:
    """An init by the engine, of a configuration with changes."""

    def make(init: dict[str, Any] = PRUNE, init_path: str | None = None) -> Job:
        teacher = {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher_folder)}
        config = {"init": init, "teacher": teacher, "init_path": init_path, "probe_windows": 3, "skip_windows": 4}
        job = make_job("init", {**config, "device": "cpu", "threads": 1}, {"corpus": corpus_evidence})
        build_init(job)
        return job

    return make


@pytest.fixture
def measured(make_job: Callable[..., Job], corpus_evidence: Path) -> Measured:
    """What the falsifier measures of an init, once it was audited."""

    def measure(job: Job) -> dict[str, float]:
        again = make_job("init_redo", json.loads(job.config), {"corpus": corpus_evidence, "init": job.out})
        redo_init(again)
        declared = load_registry([])["init-as-declared"]
        files = {"init": ("choice.json", job.out), "init_redo": ("again.json", again.out)}
        evidence = {name: Evidence(name, "", folder, {file: ""}) for name, (file, folder) in files.items()}
        return {each.name: each.value for each in declared.measure(Context(declared.parameters, evidence))}

    return measure


def test_both_rules_name_the_same_layers() -> None:
    """Written twice, so that neither can drop a candidate alone."""
    assert all(subsets(layers, keep) == candidate_subsets(layers, keep) for layers in (4, 9, 30) for keep in (1, 2, 3))


@pytest.mark.slow
def test_an_honest_init_is_found_again(made: Callable[..., Job], measured: Measured) -> None:
    """To the last bit, and its losses up to rounding."""
    found = measured(made())
    assert found["loss_difference"] < 1e-5
    assert found["foreign_tensors"] == found["missing_candidates"] == found["better_choice"] == 0


@pytest.mark.slow
def test_an_init_that_was_taken_as_it_is(made: Callable[..., Job], measured: Measured, init_evidence: Path) -> None:
    """It is held against the folder that it was taken from."""
    load = {"method": "load", "model": {"format": "hf", "path": "init"}}
    job = made(load, str(init_evidence / "model"))
    assert measured(job)["foreign_tensors"] == 0


def _damage(job: Job) -> None:
    file = job.out / "model" / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if "layers.1" in name and tensors[name].ndim == 2)
    save_file({**tensors, name: tensors[name] * 1.001}, file, metadata={"format": "pt"})


def _choose_the_worst(job: Job) -> None:
    choice = json.loads((job.out / "choice.json").read_text(encoding="utf-8"))
    worst = max(choice["candidates"], key=lambda row: row["loss"])
    choice |= {"chosen": worst["layers"]}
    (job.out / "choice.json").write_text(json.dumps(choice), encoding="utf-8")


def _leave_one_out(job: Job) -> None:
    choice = json.loads((job.out / "choice.json").read_text(encoding="utf-8"))
    choice["candidates"] = [row for row in choice["candidates"] if row["layers"] != [0, 3]]
    (job.out / "choice.json").write_text(json.dumps(choice), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tamper", "measurement"),
    [(_damage, "foreign_tensors"), (_choose_the_worst, "better_choice"), (_leave_one_out, "missing_candidates")],
)
def test_an_init_that_was_made_to_lose_is_told(
    made: Callable[..., Job], measured: Measured, tamper: Callable[[Job], None], measurement: str
) -> None:
    """By a tensor, by the choice, by what was never tried."""
    job = made()
    tamper(job)
    assert measured(job)[measurement] > 0
