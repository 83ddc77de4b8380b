"""The plan: which experiments a release implies, what each builds on, and the key its evidence is filed under.

A key is the digest of everything that enters: configuration, input files, evidence that it builds on,
engine source, library versions, Python, machine type. Paths never enter a key, only what they hold.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from refute.disk import file_sha256
from refute.evidence.manifest import manifest_digest

# What can change a number: everything that computes, tokenises or reads weights.
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy")


@dataclass(frozen=True, slots=True)
class Located:
    """A file or folder outside the store. Both functions are called late: planning touches no disk or network."""

    digest: Callable[[], str]
    path: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class FromEvidence:
    """A file or folder that another experiment, named in `needs`, produced."""

    name: str
    file: str


Config = Mapping[str, "Config | Located | FromEvidence | str | int | float | bool | None"]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One expensive step. `entry` is `module:function` taking a Job; `None` means: file `sources` as they are."""

    name: str
    title: str
    entry: str | None
    needs: tuple[str, ...] = ()
    config: Config = field(default_factory=dict)
    engine: tuple[str, ...] = ()
    limit_s: float = 3600.0


Plan = Mapping[str, Experiment]


def render(config: Config, folders: Mapping[str, Path] | None = None) -> dict[str, object]:
    """`config` as JSON data: with paths for the job where the folders of its evidence are given, else for the key."""
    out: dict[str, object] = {}
    for name, value in sorted(config.items()):
        if isinstance(value, Located):
            out[name] = value.digest() if folders is None else str(value.path())
        elif isinstance(value, FromEvidence):
            # The evidence's digest enters the key beside the configuration.
            out[name] = f"{value.name}/{value.file}" if folders is None else str(folders[value.name] / value.file)
        elif isinstance(value, Mapping):
            out[name] = render(value, folders)
        else:
            out[name] = value
    return out


def key_of(experiment: Experiment, evidence: Mapping[str, str]) -> str:
    """The evidence key: `evidence` maps the names in `needs` to their manifest digests."""
    entering = {
        "experiment": experiment.name,
        "entry": experiment.entry,
        "config": render(experiment.config),
        "evidence": dict(sorted(evidence.items())),
        "engine": {package: source_digest(package) for package in experiment.engine},
        "environment": environment() if experiment.entry else {},
    }
    return hashlib.sha256(json.dumps(entering, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def source_digest(package: str) -> str:
    """SHA-256 over the Python files of a package folder below `refute` (names and contents).

    Raises FileNotFoundError for a name that is no folder: its digest would be that of nothing, whatever changed.
    """
    folder = Path(__file__).parents[1] / package
    if not folder.is_dir():
        raise FileNotFoundError(f"no package folder at {folder}")
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*.py"))}
    return manifest_digest(files)


@cache
def environment() -> dict[str, str]:
    """Versions and machine type that enter every key."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def folder_digest(folder: Path) -> str:
    """Digest of a folder's files by name and content; of a file, its SHA-256."""
    if folder.is_file():
        return file_sha256(folder)
    return manifest_digest(
        {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    )
