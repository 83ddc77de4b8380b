"""Training runs of the real engine that are still to be made, and audited."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from auditing import TRAINING, Audit
from distill_world import (  # noqa: F401 - fixtures
    corpus_evidence,
    init_evidence,
    make_job,
    teacher_folder,
    tiny_tokenizer,
)
from refute.job import Job, ProgressCallback
from training_runs import run_config


@pytest.fixture
def corpus(corpus_evidence: Path, tmp_path: Path) -> Path:  # noqa: F811
    """The corpus with a document end in every fifth place, and a manifest that says which id that is."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus_evidence, folder)
    for split in ("train", "heldout"):
        tokens = load_file(folder / f"{split}.safetensors")["tokens"]
        tokens[:, 4::5] = 0
        save_file({"tokens": tokens}, folder / f"{split}.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"end_of_document": 0}), encoding="utf-8")
    return folder


@pytest.fixture
def audit(
    make_job: Callable[..., Job],  # noqa: F811
    teacher_folder: Path,  # noqa: F811
    init_evidence: Path,  # noqa: F811
    corpus: Path,
) -> Callable[..., Audit]:
    """An audit of a run that is still to be made, with changes of its settings; the same name is the same run."""

    def make(report: ProgressCallback = lambda *_: None, processes: int = 1, **changes: Any) -> Audit:
        training = TRAINING | changes
        places = {"teacher": teacher_folder, "init": init_evidence, "corpus": corpus}
        config = run_config(training, **places, processes=processes)
        return Audit(training, processes, make_job("student", config, None, report), make_job, places)

    return make
