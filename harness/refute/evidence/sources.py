"""Files, folders and models that a release names, as places: digests and paths that are looked up late."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from refute.disk import file_sha256
from refute.errors import MissingInputsError
from refute.evidence.experiment import Located
from refute.evidence.fetch import fetch
from refute.evidence.manifest import manifest_digest
from refute.spec.release import FileCorpus, GgufModel, ModelSource, Source, StdlibCorpus


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


def located_corpus(corpus: StdlibCorpus | FileCorpus, base: Path) -> Located:
    """The folder of a corpus. The standard library is named by its interpreter, and read wherever that has it."""
    if isinstance(corpus, FileCorpus):
        return located_folder(base / Path(corpus.path).expanduser())
    return Located(lambda: f"standard library of Python {platform.python_version()}", lambda: Path(os.__file__).parent)


def identity_of(model: ModelSource, base: Path) -> str:
    """Equal where a release names one model twice."""
    if isinstance(model, GgufModel):
        return model.source.sha256
    return str((base / Path(model.path).expanduser()).resolve())


def folder_digest(folder: Path) -> str:
    """Digest of a folder's files by name and content; of a file, its SHA-256."""
    if folder.is_file():
        return file_sha256(folder)
    return manifest_digest({path.relative_to(folder).as_posix(): file_sha256(path) for path in files_below(folder)})


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, by name; a link to a file is one, as the hub's cache has them.

    Raises MissingInputsError for a link to a folder or to nothing, and for what is neither file nor folder: whoever
    named the folder meant it, and a digest without it would speak of less.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path
        elif path.is_symlink() or not path.is_dir():
            what = "a link to a folder or to nothing" if path.is_symlink() else "neither a file nor a folder"
            raise MissingInputsError(
                f"{path} is {what}, and would be left out", hint="copy what is meant there, or take it away"
            )
