"""What a release names and this machine lacks: found before hours are spent, and all of it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from refute.errors import MissingInputsError
from refute.evidence.fetch import local_path
from refute.evidence.planned.humaneval_backend import lacking_for_backend
from refute.spec.release import FileCorpus, GgufModel, Loaded, ModelSource, Release


def missing_inputs(release: Release, base: Path) -> list[str]:
    """Files, folders and hardware that the release names and this machine lacks. Downloads are not counted."""
    lacking = [f"evidence.{name}: {fault}" for name, fault in evidence_faults(release, base).items()]
    distillation = release.distillation
    if distillation is None:
        return lacking
    places: dict[str, Path] = {}
    _place(places, "teacher", distillation.teacher, base)
    if isinstance(distillation.init, Loaded):
        _place(places, "init", distillation.init.model, base)
    if isinstance(distillation.corpus, FileCorpus):
        places["corpus"] = base / Path(distillation.corpus.path).expanduser()
    if distillation.humaneval.problems.path is not None:
        places["humaneval.problems"] = local_path(distillation.humaneval.problems, base)
    for role, source in distillation.gguf_files().items():
        if source.path is not None:
            places[f"humaneval.backend.{role}"] = local_path(source, base)
    lacking += [f"distillation.{name}: {_short(path)}" for name, path in sorted(places.items()) if not path.exists()]
    lacking += [f"distillation.{line}" for line in lacking_for_backend(distillation)]
    if release.publication is not None:
        licence = base / Path(release.publication.licence_file).expanduser()
        lacking += [] if licence.is_file() else [f"publication.licence_file: {_short(licence)}"]
    if distillation.device == "cuda" and not Path("/dev/nvidiactl").exists():
        lacking.append("distillation.device: cuda, but this machine shows no NVIDIA device")
    return lacking


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


def _place(places: dict[str, Path], name: str, model: ModelSource, base: Path) -> None:
    if isinstance(model, GgufModel):
        if model.source.path is not None:
            places[name] = local_path(model.source, base)
    else:
        places[name] = base / Path(model.path).expanduser()
