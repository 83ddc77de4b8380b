"""Which files are a corpus: those that are named, and those below named folders but for what came along with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from refute.errors import MissingInputsError, UsageError

_DATASET_MARK, _DATASETS_MARK = "dataset_info.json", "dataset_dict.json"

# What a repository or a download says about itself, by the stem of the name in upper case.
_ABOUT = frozenset({"README", "LICENSE", "LICENCE", "COPYING", "NOTICE", "CITATION", "DATASET_INFO", "DATASET_INFOS"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Files and saved datasets to read, in order, and what folders hold besides that was passed over."""

    files: tuple[Path, ...]
    passed_over: tuple[Path, ...] = ()


def find_sources(paths: Sequence[Path], pattern: str) -> Sources:
    """The files to read: those named, those below named folders that match `pattern`, and saved datasets, sorted.

    Raises MissingInputsError for a path that does not exist or a folder in which nothing matches, UsageError for
    several saved datasets in one.
    """
    files: list[Path] = []
    passed_over: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingInputsError(f"no file or folder at {path}")
        if path.is_file() or (path / _DATASET_MARK).is_file():
            files.append(path)
            continue
        if (path / _DATASETS_MARK).is_file():
            names = ", ".join(sorted(mark.parent.name for mark in path.glob(f"*/{_DATASET_MARK}")))
            raise UsageError(f"{path} holds several datasets: {names}", hint="name one of these folders below it")
        matching = sorted(file for file in path.glob(pattern) if file.is_file())
        below = [file for file in matching if is_content(file.relative_to(path))]
        if not below:
            raise MissingInputsError(
                f"{path}: no file matches {pattern!r}" + (f" but {_named(matching)}" if matching else ""),
                hint="give another --pattern, or name such files themselves" if matching else "give another --pattern",
            )
        files += below
        passed_over += [file for file in matching if file not in set(below)]
    return Sources(tuple(files), tuple(passed_over))


def is_content(path: PurePath) -> bool:
    """Whether a file at `path` below a folder can be content: hidden ones (.git, .cache) and READMEs are not."""
    return not any(part.startswith(".") for part in path.parts) and path.stem.upper() not in _ABOUT


def _named(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files[:3])
