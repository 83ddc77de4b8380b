"""Files, folders and models that a release names, as places: digests and paths that are looked up late."""

from __future__ import annotations

from pathlib import Path

from refute.errors import MissingInputsError
from refute.evidence.experiment import Located, folder_digest
from refute.evidence.fetch import fetch
from refute.spec.release import GgufModel, ModelSource, Source


def located_folder(path: Path) -> Located:
    """The folder or file at `path`. Its digest raises MissingInputsError where there is none."""

    def digest() -> str:
        if not path.exists():
            raise MissingInputsError(f"no file or folder at {path}", hint="correct the path in the release file")
        return folder_digest(path)

    return Located(digest, lambda: path)


def located_file(source: Source, base: Path) -> Located:
    """A file that comes with its SHA-256: fetched, and checked against that, when its path is asked for."""
    return Located(lambda: source.sha256, lambda: fetch(source, base))


def located_model(model: ModelSource, base: Path) -> Located:
    """The GGUF file or Hugging Face folder of a model."""
    if isinstance(model, GgufModel):
        # The package that delivered the file says nothing about what is in it: only the digest enters.
        return located_file(model.source, base)
    return located_folder(base / Path(model.path).expanduser())
