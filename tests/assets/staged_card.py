"""What a card and a bill of materials are made of, and what staging makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evidence_examples import EVALUATION_SUMMARY, FORMAT_SCORES, LINEAGE, TRAINING_SUMMARY
from refute.engines.publish.experiments.stage import stage
from refute.job import Inputs, Job
from refute.spec.experiments.publication import StageConfig

ROOT = Path(__file__).parents[2]
PUBLICATION: dict[str, Any] = {
    "name": "student-6L",
    "licence": "apache-2.0",
    "licence_file": "LICENSE",
    "rehearsal": True,
    "exports": ["Q8_0"],
    "teacher": {"repo": "org/teacher-135M", "licence": "apache-2.0"},
    "card": {"summary": "A model: of 6 layers, 'quoted' and \"quoted\".", "languages": ["en", "de"]},
}


def evidence(folder: Path, name: str, files: dict[str, Any]) -> None:
    """The files of one experiment."""
    for file, content in files.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.fixture(name="world")
def stage_world(tmp_path: Path) -> Path:
    """What a card and a bill are made of."""
    model = {"model/config.json": b"{}", "model/model.safetensors": b"weights" * 999}
    evidence(tmp_path, "student", {"summary.json": TRAINING_SUMMARY, **model})
    evidence(tmp_path, "exported", {"gguf/student-6L.F16.gguf": b"GGUF"})
    evidence(tmp_path, "lineage", {"lineage.json": LINEAGE})
    evidence(tmp_path, "humaneval_student", {"summary.json": EVALUATION_SUMMARY})
    evidence(tmp_path, "humaneval_formats", {"formats.json": FORMAT_SCORES})
    evidence(tmp_path, "humaneval_init", {"summary.json": EVALUATION_SUMMARY})
    return tmp_path


def staged(world: Path, **changes: Any) -> Path:
    """What `stage` makes of it."""
    publication = {**PUBLICATION, **changes}
    config = {"release": "r-1", "publication": publication, "licence_path": str(ROOT / "LICENSE")}
    evidence(world, "release", {"release.json": {"release": "r-1", "publication": _whole(publication)}})
    out = world / "staged"
    out.mkdir()
    inputs = {each.name: Inputs(each.name, each) for each in world.iterdir()}
    stage(Job("staged", json.dumps(config), inputs, out, world, lambda *_: None))
    return out


def _whole(publication: dict[str, Any]) -> Any:
    """With its defaults, as the evidence `release` has it."""
    config = {"release": "r", "publication": publication, "licence_path": ""}
    return StageConfig.model_validate_json(json.dumps(config)).model_dump(mode="json")["publication"]
