"""The files of an honest run score what it says that they score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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
        declared = {"run": "student", "training": training}
        again = make_job("audit", declared, {"init": init_evidence, "corpus": corpus, "student": job.out})
        audit_student(again)
        return job.out, again.out

    return audit


@pytest.mark.slow
@pytest.mark.parametrize("document_mask", [False, True])
def test_the_files_score_what_the_run_says(audited: Callable[..., tuple[Path, Path]], document_mask: bool) -> None:
    """Held-out windows of init and student, by a forward that shares nothing with transformers."""
    student, audit = audited(document_mask=document_mask)
    windows = read_rows(student / "heldout_windows.jsonl")
    again = read_rows(audit / "heldout.jsonl")
    assert len(again) == len(windows) == SHORT["eval_windows"]
    for own, row in zip(windows, again, strict=True):
        assert [row["window"], row["ce_initial"], row["ce"]] == pytest.approx(
            [own["window"], own["ce_initial"], own["ce"]], abs=1e-4
        )
    assert json.loads((audit / "tensors.json").read_text("utf-8"))["unchanged"] == 0
    # What is known to be wrong is seen to be, far above the bar of 1e-3.
    (perturbed,) = read_rows(audit / "perturbed.jsonl")
    assert perturbed["ce"] - windows[perturbed["window"]]["ce"] > 0.03
    untrained = json.loads((audit / "untrained.json").read_text("utf-8"))
    assert untrained["unchanged"] == untrained["tensors"] > 0


@pytest.mark.slow
def test_tensors_that_stayed_are_counted_in_the_files(
    audited: Callable[..., tuple[Path, Path]], init_evidence: Path
) -> None:
    """Whatever the run's own summary says."""
    _, audit = audited(lambda student: shutil.copytree(init_evidence / "model", student / "model", dirs_exist_ok=True))
    found = json.loads((audit / "tensors.json").read_text("utf-8"))
    assert found["unchanged"] == found["tensors"] > 0


@pytest.mark.slow
def test_tensors_that_were_only_rounded_are_counted(
    audited: Callable[..., tuple[Path, Path]], init_evidence: Path
) -> None:
    """The init in bfloat16 is the init; a trained student in bfloat16 is not."""

    def round_the_init(student: Path) -> None:
        tensors = load_tensors(init_evidence / "model" / "model.safetensors")
        rounded = {name: each.bfloat16() for name, each in tensors.items()}
        save_file(rounded, student / "model" / "model.safetensors", metadata={"format": "pt"})

    for spoil, unchanged in ((round_the_init, True), (lambda _student: None, False)):
        _, audit = audited(spoil, save_dtype="bfloat16")
        found = json.loads((audit / "tensors.json").read_text("utf-8"))
        assert found["unchanged"] == (found["tensors"] if unchanged else 0)


@pytest.mark.slow
def test_a_released_model_of_another_shape_is_an_error(audited: Callable[..., tuple[Path, Path]]) -> None:
    """A student whose head was cut is not the init's descendant."""

    def cut(student: Path) -> None:
        file = student / "model" / "model.safetensors"
        tensors = load_tensors(file)
        name = "model.embed_tokens.weight"
        save_file(tensors | {name: tensors[name][:299].clone()}, file, metadata={"format": "pt"})

    with pytest.raises(ExperimentError, match=r"other shapes|rows"):
        audited(cut)
