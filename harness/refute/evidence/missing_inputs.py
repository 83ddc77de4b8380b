"""What a release names and this machine lacks: found before hours are spent, and all of it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from refute.errors import MissingInputsError
from refute.evidence.fetch import local_path
from refute.evidence.planned.humaneval_backend import lacking_for_backend
from refute.evidence.planned.results import result_paths
from refute.spec.publication import Publication
from refute.spec.release import (
    Distillation,
    Examined,
    FileCorpus,
    FinishedStudent,
    GgufModel,
    Loaded,
    ModelSource,
    Release,
    TrainingRecord,
)


def missing_inputs(release: Release, base: Path) -> list[str]:
    """Files, folders and hardware that the release names and this machine lacks. Downloads are not counted."""
    lacking = [f"evidence.{name}: {fault}" for name, fault in evidence_faults(release, base).items()]
    named = result_paths(release.results, base)
    lacking += [f"{name}: {_short(path)}" for name, path in named.items() if not path.is_file()]
    if release.student is not None:
        lacking += _lacking("student", release.student, _places_of_student(release.student, base), base)
    if release.distillation is not None:
        lacking += _lacking(
            "distillation", release.distillation, _places_of_distillation(release.distillation, base), base
        )
        lacking += [f"distillation.{line}" for line in lacking_for_backend(release.distillation)]
    if release.publication is not None:
        lacking += _lacking_for_exports(release.publication)
        licence = base / Path(release.publication.licence_file).expanduser()
        lacking += [] if licence.is_file() else [f"publication.licence_file: {_short(licence)}"]
    return lacking


def _places_of_distillation(distillation: Distillation, base: Path) -> dict[str, Path]:
    places = _model("teacher", distillation.teacher, base)
    if isinstance(distillation.init, Loaded):
        places |= _model("init", distillation.init.model, base)
    if isinstance(distillation.corpus, FileCorpus):
        places["corpus"] = base / Path(distillation.corpus.path).expanduser()
    for role, source in distillation.gguf_files().items():
        if source.path is not None:
            places[f"humaneval.backend.{role}"] = local_path(source, base)
    return places


def _places_of_student(student: FinishedStudent, base: Path) -> dict[str, Path]:
    places = dict[str, Path]()
    for name, model in student.models().items():
        places |= _model(name, model, base)
    if isinstance(student.corpus, FileCorpus):
        places["corpus"] = base / Path(student.corpus.path).expanduser()
    if isinstance(student.training, TrainingRecord):
        places["training"] = base / Path(student.training.path).expanduser()
    return places


def _lacking(part: str, examined: Examined, places: dict[str, Path], base: Path) -> list[str]:
    """Of `places`, the problems' and the device, those that are not here, as lines about `part` of the release."""
    if examined.humaneval.problems.path is not None:
        places["humaneval.problems"] = local_path(examined.humaneval.problems, base)
    lacking = [f"{part}.{name}: {_short(path)}" for name, path in sorted(places.items()) if not path.exists()]
    if examined.device == "cuda" and not Path("/dev/nvidiactl").exists():
        lacking.append(f"{part}.device: cuda, but this machine shows no NVIDIA device")
    return lacking


def _lacking_for_exports(publication: Publication) -> Iterator[str]:
    """Packages by which a student is exported and its exports are proven."""
    if find_spec("xllamacpp") is None:
        yield "publication: exports are proven in llama.cpp, with the extra xllamacpp: pip install 'refute[xllamacpp]'"
    kquants = [label.value for label in publication.exports if label.is_kquant]
    if kquants and find_spec("libgguf") is None:
        yield f"publication.exports: {', '.join(kquants)} need the extra kquant: pip install 'refute[kquant]'"


def evidence_faults(release: Release, base: Path) -> Mapping[str, str]:
    """By the name that the release gives to evidence of its own: which file cannot be taken in, and why not."""
    found = {name: _fault(base / path) for name, path in sorted(release.evidence.items())}
    return {name: fault for name, fault in found.items() if fault}


def _fault(path: Path) -> str:
    """Empty where a file, or every file of a folder, can be read; one that is not there is named alone."""
    try:
        if not path.exists():
            return _short(path)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                file.open("rb").close()
            elif not file.is_dir():
                return f"{_short(file)} is neither a file nor a folder"
    except OSError as error:
        return f"{_short(Path(error.filename or path))} cannot be read: {error.strerror}"
    return ""


def require_inputs(release: Release, base: Path) -> None:
    """Raises MissingInputsError listing everything that `missing_inputs` finds."""
    lacking = missing_inputs(release, base)
    if lacking:
        listing = "".join(f"\n  - {line}" for line in lacking)
        raise MissingInputsError(
            f"release {release.release!r} cannot run here; missing:{listing}",
            hint="put them there, or correct the paths in the release file",
        )


def _short(path: Path) -> str:
    """Without `folder/..`, for people."""
    return os.path.normpath(path)


def _model(name: str, model: ModelSource, base: Path) -> dict[str, Path]:
    if isinstance(model, GgufModel):
        return {} if model.source.path is None else {name: local_path(model.source, base)}
    return {name: base / Path(model.path).expanduser()}
