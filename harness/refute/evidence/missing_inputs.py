"""What a release names and this machine lacks: found before hours are spent, and all of it at once."""

from __future__ import annotations

import os
from pathlib import Path

from refute.errors import MissingInputsError
from refute.evidence.fetch import local_path
from refute.evidence.humaneval_backend import lacking_for_backend
from refute.spec.release import FileCorpus, GgufModel, Loaded, ModelSource, Release


def missing_inputs(release: Release, base: Path) -> list[str]:
    """Files, folders and hardware that the release names and this machine lacks. Downloads are not counted."""
    lacking = [
        f"evidence.{name}: {_short(base / path)}"
        for name, path in sorted(release.evidence.items())
        if not (base / path).exists()
    ]
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
    if distillation.device == "cuda" and not Path("/dev/nvidiactl").exists():
        lacking.append("distillation.device: cuda, but this machine shows no NVIDIA device")
    return lacking


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
