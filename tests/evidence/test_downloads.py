"""A gate has a network where its release needs one on this machine, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.cli.commands.init import scaffold
from refute.evidence.downloads import needs_network
from refute.evidence.fetch import local_path
from refute.spec.files import load_release
from refute.spec.folders import older_transformers_folder
from refute.spec.release import AtServer, FinishedStudent, GgufModel

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_not_here_yet_is_fetched_and_what_is_here_is_not() -> None:
    """Teacher and problems of the embedded release come out of packages, and what is published is read by an older
    transformers; once all of it lies in the cache, nothing needs a network."""
    loaded = load_release(ROOT / "specs/releases/embedded.yaml")
    release, base = loaded.release, loaded.path.parent
    distillation = release.distillation
    assert distillation is not None
    assert isinstance(distillation.teacher, GgufModel)
    assert set(needs_network(release, base)) == {
        "distillation.teacher",
        "distillation.humaneval.problems",
        "publication",
    }
    for source in (distillation.teacher.source, distillation.humaneval.problems):
        local_path(source, base).parent.mkdir(parents=True)
        local_path(source, base).touch()
    assert needs_network(release, base) == ("publication",)
    # Only this interpreter's: that of another one is no help.
    other = older_transformers_folder().with_name("transformers-of-another")
    for folder in (other, older_transformers_folder()):
        assert needs_network(release, base) == ("publication",)
        folder.mkdir()
        (folder / "complete").touch()
    assert needs_network(release, base) == ()
    served = AtServer(kind="openai", base_url="http://localhost:8000/v1", student="s", init="i", teacher="t")
    humaneval = distillation.humaneval.model_copy(update={"backend": served})
    asked = distillation.model_copy(update={"humaneval": humaneval})
    assert needs_network(release.model_copy(update={"distillation": asked}), base) == (
        "distillation.humaneval.backend",
    )


def test_a_student_on_a_hub_is_fetched() -> None:
    """One that lies here is not."""
    release, base = load_release(ROOT / "specs/releases/embedded.yaml").release, ROOT
    assert release.distillation is not None
    problems = release.distillation.humaneval
    path = local_path(problems.problems, base)
    path.parent.mkdir(parents=True)
    path.touch()
    for model, needs in (
        ({"format": "hub", "repo": "org/name", "commit": "0" * 40}, ("student.model",)),
        ({"format": "hf", "path": "here"}, ()),
    ):
        student = FinishedStudent.model_validate({"model": model, "humaneval": problems})
        asked = release.model_copy(update={"student": student, "distillation": None, "publication": None})
        assert needs_network(asked, base) == needs


def test_a_release_without_distillation_needs_none(tmp_path: Path) -> None:
    """Evidence that is given lies there."""
    scaffold(tmp_path)
    loaded = load_release(tmp_path / "specs/releases/example.yaml")
    assert needs_network(loaded.release, loaded.path.parent) == ()
