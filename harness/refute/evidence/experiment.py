"""An experiment: what it runs, what it builds on, how it is configured. Its evidence is filed under its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from refute.errors import UsageError
from refute.spec.experiments.parsing import refused_config
from refute.spec.fields import Closed


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
    """The configuration of evidence that is a file, or all files below a folder, as they are, in its folder `into`."""

    path: str
    into: str = ""


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


def config_for_job(config: Configure, folders: Mapping[str, Path]) -> Closed:
    """With paths where files stand; `folders` are those of the evidence that it builds on."""

    def path(place: Located | FromEvidence) -> str:
        return str(place.path() if isinstance(place, Located) else folders[place.name] / place.file)

    return config(path)
