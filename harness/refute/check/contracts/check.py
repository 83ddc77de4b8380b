"""Every problem of the contracts in some folders: of the files alone, and on demand of running them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from refute.check.contracts.model import LoadedContract, contract_files, duplicate_ids, load_contract
from refute.check.contracts.references import Executable, importable, resolve_contract
from refute.check.contracts.run import DEFAULT_PROFILE, Attempt, register_profiles, run_properties, unknown_profile
from refute.errors import Problem, SpecError, UsageError


@dataclass(frozen=True, slots=True)
class Checked:
    """The contracts that could be read, what of them can be run, and all that is wrong."""

    contracts: tuple[LoadedContract, ...]
    executables: tuple[Executable, ...]
    problems: tuple[Problem, ...]


@contextmanager
def opened_contracts(folders: Sequence[Path]) -> Iterator[Checked]:
    """The contracts of `folders` with what they name; their properties can be run until the context ends."""
    contracts: list[LoadedContract] = []
    executables: list[Executable] = []
    problems: list[Problem] = []
    for path in (path for folder in folders for path in contract_files(folder)):
        try:
            contracts.append(load_contract(path))
        except SpecError as error:
            problems += error.problems
    problems += duplicate_ids(contracts)
    with importable(folders):
        for loaded in contracts:
            found, faults = resolve_contract(loaded)
            executables += found
            problems += faults
        yield Checked(tuple(contracts), tuple(executables), tuple(problems))


def check_contracts(
    folders: Sequence[Path], *, run: bool = False, told: Callable[[Attempt], None] = lambda _attempt: None
) -> tuple[int, list[Problem]]:
    """How many contracts there are in `folders`, and every problem of them; `run` also runs their properties.

    They run under the Hypothesis profile that HYPOTHESIS_PROFILE names, `fast` or `deep`; `told` hears of each.
    Raises UsageError for a folder that is not there, and for a profile that is neither.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder of contracts", hint="name a folder that holds *.yaml files")
    if run:
        load_profile(os.environ.get("HYPOTHESIS_PROFILE", DEFAULT_PROFILE))
    with opened_contracts(folders) as checked:
        problems = list(checked.problems)
        for attempt in run_properties(checked.executables) if run else ():
            told(attempt)
            problems += attempt.problems
    return len(checked.contracts), problems


def load_profile(name: str) -> None:
    """Make `name` the profile of all properties that are imported or run from now on. Raises UsageError."""
    from hypothesis import settings

    if complaint := unknown_profile(name):
        raise UsageError(complaint, hint="set HYPOTHESIS_PROFILE to one of them")
    register_profiles()
    settings.load_profile(name)
