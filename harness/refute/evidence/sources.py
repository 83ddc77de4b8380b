"""Files, folders and models that a release names, as content digests and as paths."""

from __future__ import annotations

from pathlib import Path

from refute.errors import MissingInputsError
from refute.evidence.experiment import Config, Located, folder_digest
from refute.evidence.fetch import fetch
from refute.spec.release import GgufModel, ModelSource, Source


def _folder(path: Path) -> Located:
    def digest() -> str:
        if not path.exists():
            raise MissingInputsError(f"no file or folder at {path}", hint="correct the path in the release file")
        return folder_digest(path)

    return Located(digest, lambda: path)


def _file(source: Source, base: Path) -> Located:
    return Located(lambda: source.sha256, lambda: fetch(source, base))


def _model_files(model: ModelSource, base: Path) -> Located:
    if isinstance(model, GgufModel):
        # The package that delivered the file says nothing about what is in it: only the digest enters.
        return _file(model.source, base)
    return _folder(base / Path(model.path).expanduser())


def _model(model: ModelSource, base: Path) -> Config:
    return {"model": model.model_dump(mode="json"), "path": _model_files(model, base)}
