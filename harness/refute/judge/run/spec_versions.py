"""One text for each version of a specification: which one was judged first is kept beside the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from refute.disk import read_regular, replace_file
from refute.errors import EvidenceError
from refute.spec.criteria import Spec
from refute.spec.texts import SpecText

FOLDER = ".specs"


def changed_texts(runs: Path, specs: Sequence[Spec], texts: Sequence[SpecText]) -> tuple[str, ...]:
    """A sentence for each spec that was judged below the folder `runs` as this version, but with another text.

    Raises EvidenceError where what is kept cannot be read.
    """
    return tuple(
        f"{spec.spec} version {spec.version} was judged here with the text of SHA-256 {known}, this one has"
        f" {text.sha256}: count its `version` up, or restore that text"
        for spec, text, path in _kept(runs, specs, texts)
        if (known := _read(path)) not in ("", text.sha256)
    )


def remember_texts(runs: Path, specs: Sequence[Spec], texts: Sequence[SpecText]) -> None:
    """Keep the text of each version that has none yet. Raises EvidenceError where it cannot be kept."""
    for _, text, path in _kept(runs, specs, texts):
        if not _read(path):
            _write(path, text.sha256)


def _kept(runs: Path, specs: Sequence[Spec], texts: Sequence[SpecText]) -> Iterator[tuple[Spec, SpecText, Path]]:
    for spec, text in zip(specs, texts, strict=True):
        yield spec, text, runs / FOLDER / spec.spec / str(spec.version)


def _write(path: Path, sha256: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, f"{sha256}\n".encode("ascii"))
    except OSError as error:
        raise EvidenceError(
            f"cannot keep which text was judged, {path}: {error.strerror or error}", hint="make the folder writable"
        ) from error


def _read(path: Path) -> str:
    """The SHA-256 that is kept; empty where there is none."""
    try:
        return read_regular(path).decode("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"cannot read which text was judged, {path}: {error}", hint="make the file readable, or delete it"
        ) from error
