"""Release files: read one, keep its text and digest, and find the files that it names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from refute.release import Release
from refute.strict_yaml import parse_yaml, read_text, validate


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A release with the file it came from. `sha256` is of the file's bytes, which are `text` in UTF-8."""

    release: Release
    path: Path
    sha256: str
    text: str


def load_release(path: Path) -> LoadedRelease:
    """Read and validate one release file. Raises SpecError with every problem of the file."""
    text = read_text(path)
    release = parse_release(text, str(path))
    return LoadedRelease(release, path, hashlib.sha256(text.encode("utf-8")).hexdigest(), text)


def parse_release(text: str, name: str) -> Release:
    """A release from text, such as the one inside a signed verdict; `name` stands for the file in problems.

    Raises SpecError with every problem found.
    """
    return validate(parse_yaml(text, name), Release)


def resolve(loaded: LoadedRelease, relative: str) -> Path:
    """Where a path written in the release file lies: below the folder of that file, `~` expanded.

    An absolute path stays what it is. Nothing says that the file exists.
    """
    return loaded.path.parent / Path(relative).expanduser()
