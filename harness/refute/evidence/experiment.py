"""An experiment and its evidence key: what it runs, what it builds on, how it is configured.

A key is the digest of everything that enters: configuration, input files, evidence that it builds on, the source that
its entry reaches, versions and contents of libraries, variables that change numbers, Python, machine type. Of a file it
holds the digest, and not where it was found.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from refute.disk import file_sha256
from refute.errors import MissingInputsError, UsageError
from refute.evidence.manifest import manifest_digest
from refute.evidence.process.installed import content_of
from refute.evidence.process.variables import extra_folders, numeric_variables
from refute.evidence.reach import entry_digest
from refute.spec.experiments.parsing import refused_config
from refute.spec.fields import Closed

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


# What stands for a place in a configuration: its digest in the key, its path in the job.
Locate = Callable[[Located | FromEvidence], str]

# A configuration, made once for the key and once for the job. The function at the entry parses the same model.
Configure = Callable[[Locate], Closed]


class TakenFiles(Closed):
    """The configuration of evidence that is a file, or all files below a folder, as they are."""

    path: str


class TakenText(Closed):
    """The configuration of evidence that is this text, in `<name>.json`."""

    text: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """One expensive step. `entry` is `module:function` taking a Job; with None, `config` says what is taken in.

    `secrets` are names of environment variables that it reads, such as a server's key; they are recorded nowhere.
    """

    name: str
    title: str
    entry: str | None
    config: Configure
    needs: tuple[str, ...] = ()
    limit_s: float = 3600.0
    secrets: tuple[str, ...] = ()


Plan = Mapping[str, Experiment]


def check_config(experiment: Experiment) -> None:
    """Make the configuration of `experiment` once, without looking for its files.

    Raises UsageError naming experiment and key, where its model refuses it or it builds on evidence it does not need.
    """

    def place(found: Located | FromEvidence) -> str:
        if isinstance(found, FromEvidence) and found.name not in experiment.needs:
            raise UsageError(
                f"experiment {experiment.name!r} is configured with {found.file!r} of the evidence {found.name!r}, "
                f"and needs {', '.join(experiment.needs) or 'none'}",
                hint="this is a fault of the plan: name that evidence in the experiment's needs",
            )
        return "a path known at run time"

    try:
        experiment.config(place)
    except ValidationError as error:
        raise refused_config(experiment.name, error) from error


def config_for_key(config: Configure) -> dict[str, object]:
    """As JSON data, with digests where files stand. That of evidence enters the key beside the configuration."""

    def digest(place: Located | FromEvidence) -> str:
        return place.digest() if isinstance(place, Located) else f"{place.name}/{place.file}"

    return config(digest).model_dump(mode="json")


def config_for_job(config: Configure, folders: Mapping[str, Path]) -> Closed:
    """With paths where files stand; `folders` are those of the evidence that it builds on."""

    def path(place: Located | FromEvidence) -> str:
        return str(place.path() if isinstance(place, Located) else folders[place.name] / place.file)

    return config(path)


def key_of(experiment: Experiment, evidence: Mapping[str, str]) -> str:
    """The evidence key: `evidence` maps the names in `needs` to their manifest digests.

    Raises FileNotFoundError where the module of its entry is nowhere, and what digests of its files raise.
    """
    entering = {
        "experiment": experiment.name,
        "entry": experiment.entry,
        "config": config_for_key(experiment.config),
        "evidence": dict(sorted(evidence.items())),
        "source": entry_digest(experiment.entry) if experiment.entry else None,
        "environment": environment() if experiment.entry else {},
        "variables": numeric_variables(os.environ) if experiment.entry else {},
        "extra_path": extra_path_digests(os.environ) if experiment.entry else (),
    }
    return hashlib.sha256(json.dumps(entering, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def environment() -> dict[str, str]:
    """Versions, contents and machine type that enter every key."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    return found | {name: content_of(name) for name in LIBRARIES}


def extra_path_digests(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Of each folder with engines of one's own, the digest of its Python files by name and content."""
    return tuple(
        manifest_digest({str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*.py"))})
        for folder in map(Path, extra_folders(environment))
    )


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
