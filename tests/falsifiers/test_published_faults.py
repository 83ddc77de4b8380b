"""What others have published is planted into a staged folder, and refuted by the measurement that is about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builtin_uses import REGISTRY, USES
from distill_world import teacher_folder, tiny_tokenizer  # noqa: F401  # fixtures
from folder_faults import FAULTS
from refute.disk import file_sha256
from refute.errors import RefuteError
from refute.falsifier.context import Context, Evidence
from refute.outcome import Outcome
from refute.spec.bars.decide import control_outcome
from released_model import released, sound_model  # noqa: F401  # fixtures

# By fault the measurement that must fail; where there is none, the falsifier must end without one: no file, no release.
REFUTED: dict[str, tuple[str, str | None]] = {
    "training arguments": ("publication-files", "code_files"),
    "a pickle named safetensors": ("publication-files", "code_files"),
    "a pickle without a magic": ("publication-files", "code_files"),
    "a zip under another name": ("publication-files", "code_files"),
    "a pointer": ("publication-files", "pointer_files"),
    "an empty file": ("publication-files", "empty_files"),
    "a secret": ("publication-files", "foreign_files"),
    "a cache": ("publication-files", "foreign_files"),
    "no tokenizer": ("publication-files", "missing_files"),
    "no card": ("publication-files", "missing_files"),
    "a letter that looks like another": ("publication-files", "foreign_files"),
    "a second format": ("publication-files", "foreign_files"),
    "a missing shard": ("publication-index", "lost_shards"),
    "an index entry without tensor": ("publication-index", "misplaced_tensors"),
    "stray weights": ("publication-index", "loose_weights"),
    "one layer too many": ("publication-config", "wrong_sizes"),
    "another width": ("publication-config", "wrong_sizes"),
    "other heads": ("publication-config", "wrong_sizes"),
    "no head": ("publication-config", "wrong_heads"),
    "another head": ("publication-config", "wrong_heads"),
    "another dtype": ("publication-config", "wrong_precisions"),
    "NaN": ("publication-weights", "non_finite"),
    "infinity": ("publication-weights", "non_finite"),
    "a row of zeros": ("publication-weights", "dead_rows"),
    "a layer twice": ("publication-weights", "repeated_layers"),
    "a cut file": ("publication-weights", None),
}
NAMES = sorted({name for name, _ in REFUTED.values()})


def evidence_of(name: str, folder: Path, below: str) -> Evidence:
    """The folder as what an experiment has written."""
    (folder.parent / name).mkdir()
    place = folder.rename(folder.parent / name / below)
    files = {f"{below}/{path.relative_to(place)}": file_sha256(path) for path in place.rglob("*") if path.is_file()}
    return Evidence(name, "d" * 64, place.parent, files)


def failed(name: str, staged: Evidence, init: Evidence) -> set[str]:
    """The measurements that fail the bars of SPEC-HF-PUBLISH-001, each by its bar alone."""
    (use,) = [use for use in USES if use.uses == name]
    found = {each.name: each for each in REGISTRY[name].measure(Context({}, {"staged": staged, "init": init}))}
    alone = {bar: use.model_copy(update={"thresholds": {bar: text}}) for bar, text in use.thresholds.items()}
    return {bar for bar, one in alone.items() if control_outcome(one, [found[bar]])[0] is not Outcome.CORROBORATED}


@pytest.fixture(name="init")
def _init(tmp_path: Path, teacher_folder: Path) -> Evidence:  # noqa: F811  # a fixture
    """Another model in the place of the init."""
    files = {"model/config.json": file_sha256(teacher_folder / "config.json")}
    (tmp_path / "init").mkdir()
    (tmp_path / "init/model").symlink_to(teacher_folder)
    return Evidence("init", "d" * 64, tmp_path / "init", files)


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_release_stands(released: Path, init: Evidence, name: str) -> None:  # noqa: F811  # a fixture
    """Before anything is planted, nothing is refuted."""
    assert failed(name, evidence_of("staged", released, "release"), init) == set()


@pytest.mark.parametrize("fault", REFUTED)
def test_a_published_fault_is_refuted(released: Path, init: Evidence, fault: str) -> None:  # noqa: F811  # a fixture
    """By the measurement that is about it, whichever others it touches."""
    name, measurement = REFUTED[fault]
    FAULTS[fault][1](released)
    staged = evidence_of("staged", released, "release")
    if measurement is None:
        with pytest.raises((ValueError, RefuteError)):
            failed(name, staged, init)
    else:
        assert measurement in failed(name, staged, init)
