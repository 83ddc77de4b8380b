"""The audit of a run agrees with an honest one, in every way that a run can be made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file

from json_lines import read_rows
from refute.engines.distill.experiments.student_audit import audit_student
from refute.errors import ExperimentError
from refute.job import Job
from training_runs import BASE, run

SHORT = {"steps": 3, "batch_size": 4, "micro_batch_size": 2, "eval_every": 3, "eval_windows": 4, "checkpoint_every": 3}
TRAINING = {**BASE, **SHORT}


@pytest.fixture
def corpus(corpus_evidence: Path, tmp_path: Path) -> Path:
    """The corpus with a document end in every fifth place, and a manifest that says which id that is."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus_evidence, folder)
    for split in ("train", "heldout"):
        tokens = load_tensors(folder / f"{split}.safetensors")["tokens"]
        tokens[:, 4::5] = 0
        save_file({"tokens": tokens}, folder / f"{split}.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"end_of_document": 0}), encoding="utf-8")
    return folder


@pytest.fixture
def audited(
    make_job: Callable[..., Job], teacher_folder: Path, init_evidence: Path, corpus: Path
) -> Callable[..., tuple[Path, Path]]:
    """Trains with changes of the settings and audits the run; gives both output folders."""

    def audit(spoil: Callable[[Path], None] = lambda _student: None, **changes: Any) -> tuple[Path, Path]:
        training = TRAINING | changes
        teacher = {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher_folder)}
        config = {"training": training, "teacher": teacher, "threads": 1}
        job = make_job("student", config | {"init": str(init_evidence / "model"), "corpus": str(corpus)})
        run(job)
        spoil(job.out)
        again = make_job("audit", config, {"init": init_evidence, "corpus": corpus, "student": job.out})
        audit_student(again)
        return job.out, again.out

    return audit


@pytest.mark.parametrize(
    "changes",
    [{}, {"document_mask": True}, {"ce_weight": 1.0, "kd_weight": 0.0}, {"max_grad_norm": 0.01}, {"prefetch": 2}],
    ids=["plain", "documents apart", "no teacher", "clipped", "prefetched"],
)
def test_an_honest_run_is_found_again(audited: Callable[..., tuple[Path, Path]], changes: dict[str, Any]) -> None:
    """Gradient, losses, batches and held-out scores, by an implementation that shares none of the loop's code."""
    student, audit = audited(**changes)
    own, expected = (load_file(folder / "first_step.safetensors") for folder in (student, audit))
    for name in (name for name in own if name.startswith("gradient/")):
        np.testing.assert_allclose(own[name], expected[name], rtol=1e-3, atol=1e-6)
    first, again = read_rows(student / "metrics.jsonl")[0], json.loads((audit / "first_step.json").read_text("utf-8"))
    assert [first["ce"], first["kl"] or 0.0, first["total"]] == pytest.approx(
        [again["ce"], again["kl"], again["total"]], abs=1e-5
    )
    assert first["tokens"] == again["tokens"]
    batches = [(row["step"], row["batch_sha256"]) for row in read_rows(student / "metrics.jsonl")]
    assert batches == [(row["step"], row["batch_sha256"]) for row in read_rows(audit / "batches.jsonl")]
    windows = {row["window"]: row for row in read_rows(student / "heldout_windows.jsonl")}
    for row in read_rows(audit / "heldout.jsonl"):
        assert [row["ce_initial"], row["ce"]] == pytest.approx(
            [windows[row["window"]]["ce_initial"], windows[row["window"]]["ce"]], abs=1e-4
        )
    assert json.loads((audit / "tensors.json").read_text("utf-8"))["unchanged"] == 0


def test_the_order_of_several_epochs_is_found_again(audited: Callable[..., tuple[Path, Path]]) -> None:
    """Forty windows, twelve steps of four: one epoch and a bit, a batch over the seam included."""
    student, audit = audited(steps=12, micro_batch_size=4)
    batches = [row["batch_sha256"] for row in read_rows(audit / "batches.jsonl")]
    assert batches == [row["batch_sha256"] for row in read_rows(student / "metrics.jsonl")]
    assert len(set(batches)) == 12


def test_tensors_that_stayed_are_counted_in_the_files(
    audited: Callable[..., tuple[Path, Path]], init_evidence: Path
) -> None:
    """Whatever the run's own summary says."""
    _, audit = audited(lambda student: shutil.copytree(init_evidence / "model", student / "model", dirs_exist_ok=True))
    found = json.loads((audit / "tensors.json").read_text("utf-8"))
    assert found["unchanged"] == found["tensors"] > 0


def test_a_released_model_of_another_shape_is_an_error(audited: Callable[..., tuple[Path, Path]]) -> None:
    """A student whose head was cut is not the init's descendant."""

    def cut(student: Path) -> None:
        file = student / "model" / "model.safetensors"
        tensors = load_tensors(file)
        name = "model.embed_tokens.weight"
        save_file(tensors | {name: tensors[name][:299].clone()}, file, metadata={"format": "pt"})

    with pytest.raises(ExperimentError, match=r"other shapes|rows"):
        audited(cut)
