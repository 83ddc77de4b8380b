"""What a contract names, found: properties that Hypothesis can run, mutants that can be applied, modules that exist.

Property modules are imported, engines are not: a property imports its engine when it runs.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from refute.check.contracts.model import Attack, LoadedContract
from refute.check.contracts.rewrite import Rewrite
from refute.errors import LoadingError, MutationError, Problem
from refute.evidence.reach import module_file
from refute.spec.yaml.document import KeyPath
from refute.spec.yaml.suggest import suggestion

Mutant = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Executable:
    """A property of a contract as functions: the one that Hypothesis runs, and its mutants by their references."""

    loaded: LoadedContract
    index: int
    function: Callable[..., None]
    mutants: dict[str, Mutant]

    @property
    def attack(self) -> Attack:
        """What the contract says about it."""
        return self.loaded.contract.properties[self.index]

    def attempt(self) -> None:
        """Try to refute it, with the tolerance that the contract names. Raises what the property raises."""
        name = self.attack.tolerance
        self.function(**({} if name is None else {"within": self.loaded.contract.tolerances[name]}))

    def problem(self, key: str | int, code: str, message: str) -> Problem:
        """A problem with one entry of the property, at its line."""
        place: KeyPath = ("properties", self.index, *((key,) if isinstance(key, str) else ("mutants", key)))
        return self.loaded.problem(place, code, message)


@contextmanager
def importable(folders: Sequence[Path]) -> Iterator[None]:
    """Put `folders` behind everything else that can be imported; what was imported from them is forgotten again."""
    path, known = list(sys.path), set(sys.modules)
    added = [str(folder.resolve()) for folder in folders]
    importlib.invalidate_caches()
    sys.path.extend(added)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and any(Path(file).is_relative_to(folder) for folder in added):
                del sys.modules[name]


def resolve_contract(loaded: LoadedContract) -> tuple[list[Executable], list[Problem]]:
    """The properties of a contract that can be run, and a problem for everything that it names and that is not there.

    Call it inside `importable`, and run what it returns there.
    """
    problems = [
        loaded.problem(("modules", index), "no-such-module", f"there is no module {name}")
        for index, name in enumerate(loaded.contract.modules)
        if module_file(name) is None
    ]
    found: list[Executable] = []
    for index, attack in enumerate(loaded.contract.properties):
        place: KeyPath = ("properties", index)
        try:
            function = _property(attack)
        except LoadingError as error:
            problems.append(loaded.problem((*place, "property"), "property", str(error)))
            function = None
        mutants: dict[str, Mutant] = {}
        for number, reference in enumerate(attack.mutants):
            try:
                mutants[reference] = _mutant(loaded, reference)
            except (LoadingError, MutationError) as error:
                hint = f"; {error.hint}" if error.hint else ""
                problems.append(loaded.problem((*place, "mutants", number), "mutant", f"{error}{hint}"))
        if function is not None and len(mutants) == len(attack.mutants):
            found.append(Executable(loaded, index, function, mutants))
    return found, sorted(problems, key=lambda problem: (problem.line, problem.key))


def _property(attack: Attack) -> Callable[..., None]:
    from hypothesis import is_hypothesis_test

    function = _import(attack.property)
    if not callable(function) or not is_hypothesis_test(function):
        raise LoadingError(f"{attack.property} is no Hypothesis property: decorate it with `hypothesis.given`")
    wanted = set(_required(function))
    given = set() if attack.tolerance is None else {"within"}
    if wanted != given:
        raise LoadingError(f"{attack.property} {_mismatch(wanted, given)}")
    return cast(Callable[..., None], function)


def _mismatch(wanted: set[str], given: set[str]) -> str:
    if others := sorted(wanted - {"within"}):
        return f"wants arguments that nobody gives: {', '.join(others)}"
    if given:
        return "takes no argument `within`: the tolerance that the contract names would have no effect"
    return "takes a tolerance `within`, but the contract names none"


def _mutant(loaded: LoadedContract, reference: str) -> Mutant:
    mutant = _import(reference)
    if not callable(mutant) or _required(mutant):
        raise LoadingError(f"{reference} is no mutant: expected a callable without arguments")
    if isinstance(mutant, Rewrite):
        mutant.code()
        if mutant.module not in loaded.contract.modules:
            raise LoadingError(f"{reference} changes {mutant.module}, which this contract does not cover")
    return cast(Mutant, mutant)


def _required(function: Callable[..., object]) -> list[str]:
    """Names of the parameters that a caller must give."""
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin that does not tell: calling it will
        return []
    return [each.name for each in parameters if each.default is each.empty and each.kind not in optional]


def _import(reference: str) -> object:
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything, and half-made modules of a cycle do
        raise LoadingError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise LoadingError(f"{module_name} has no `{name}`{suggestion(name, _public(module))}")
    return getattr(module, name)


def _public(module: object) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
