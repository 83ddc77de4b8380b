"""The `@falsifier` decorator: a declaration is checked completely the moment it is made."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from refute.errors import LoadingError, RegistrationError
from refute.falsifier.context import Context, Parameter
from refute.falsifier.controls import Control
from refute.falsifier.helpers import code_digest
from refute.outcome import Measurement, Outcome

Measure = Callable[[Context], Iterable[Measurement]]
F = TypeVar("F", bound=Measure)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MARK = "__refute_falsifier__"

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


@dataclass(frozen=True, slots=True)
class Falsifier:
    """A declared falsifier. `measures` maps measurement names to units, `parameters` names to defaults.

    `code` is the digest of the file that defines it and of the helpers that this imports (`code_digest`), taken at the
    declaration: what runs is what was loaded then.
    """

    name: str
    measure: Measure
    needs: tuple[str, ...]
    measures: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    controls: tuple[Control, ...]
    file: Path
    code: str = ""


def falsifier(
    name: str,
    *,
    needs: Sequence[str],
    measures: Mapping[str, str],
    controls: Sequence[Control],
    parameters: Mapping[str, Parameter] | None = None,
) -> Callable[[F], F]:
    """Declare the decorated function as the falsifier `name`.

    The function takes a `Context` and returns or yields the `Measurement`s named in `measures`. It does
    not assert, print, skip or judge. At least one known-good and one known-bad control are required.

    Raises:
        RegistrationError: the declaration is incomplete or contradicts itself; the message names the
            falsifier and its file.
    """

    def declare(function: F) -> F:
        file = _source_file(function)
        where = f"falsifier {name!r} ({file.name}, function {getattr(function, '__name__', '?')})"
        faults = list(_faults(name, function, needs, measures, controls, parameters or {}))
        if not file.is_file():
            faults.append("it must be defined in a file, whose digest its records carry")
        if faults:
            raise RegistrationError(f"{where}: " + "; ".join(faults))
        declared = Falsifier(
            name,
            function,
            tuple(needs),
            dict(measures),
            dict(parameters or {}),
            tuple(controls),
            file,
            code_digest(file),
        )
        _declared(function).append(declared)
        return function

    return declare


def _source_file(function: Measure) -> Path:
    try:
        return Path(inspect.getsourcefile(function) or "<unknown>")
    except TypeError:
        return Path("<unknown>")


def _declared(function: Measure) -> list[Falsifier]:
    found: list[Falsifier] | None = getattr(function, _MARK, None)
    if found is None:
        found = []
        setattr(function, _MARK, found)
    return found


def _faults(
    name: str,
    function: Measure,
    needs: Sequence[str],
    measures: Mapping[str, str],
    controls: Sequence[Control],
    parameters: Mapping[str, Parameter],
) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "its name must be lower-case words joined by hyphens, such as `held-out-loss`"
    if isinstance(needs, str) or not needs:
        yield "`needs` must list the evidence that it reads, and cannot be empty: no evidence proves nothing"
    if not measures:
        yield "`measures` must map each measurement to its unit, and cannot be empty"
    for measurement, unit in _pairs(measures):
        if not isinstance(unit, str) or unit.split() != [unit]:
            yield f"measurement {measurement!r} needs a unit without spaces, found {unit!r}"
    for parameter, default in _pairs(parameters):
        if not isinstance(default, bool | int | float | str):
            yield f"parameter {parameter!r} needs a default that is a number, text or true/false"
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if len(kinds) != 1 or kinds[0] not in _BY_POSITION:
        yield "it must take exactly one argument, the Context"
    if not inspect.getdoc(function):
        yield "it needs a docstring saying what would refute the criterion"
    yield from _control_faults(controls)


def _pairs(mapping: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    # A declaration is a stranger's: its annotations are a wish, so values are looked at as plain objects.
    return mapping.items()


def _control_faults(controls: Sequence[object]) -> Iterator[str]:
    found = [control for control in controls if isinstance(control, Control)]
    if len(found) != len(controls):
        yield "`controls` must be made with known_good(…), known_bad(…), known_open(…) or known_unusable(…)"
        return
    for expected, kind in ((Outcome.CORROBORATED, "known_good"), (Outcome.FALSIFIED, "known_bad")):
        if not any(control.expected is expected for control in found):
            yield f"it has no {kind} control: a check counts only if it has been shown able to fail"
    if len({control.name for control in found}) != len(found):
        yield "two of its controls have the same name"


def _declarations_of(value: object) -> list[Falsifier]:
    """Looked up without running `__getattr__`: a module may hold proxies that answer to any name."""
    marked = inspect.getattr_static(value, _MARK, ())
    return [each for each in marked if isinstance(each, Falsifier)] if isinstance(marked, list) else []


class Registry(Mapping[str, Falsifier]):
    """All falsifiers of a run by name. Two of one name are an error, never a replacement."""

    def __init__(self) -> None:
        self._by_name: dict[str, Falsifier] = {}

    def add_from(self, namespace: Mapping[str, object]) -> int:
        """Add every falsifier among the values of a module's namespace; returns how many."""
        found = [declared for value in namespace.values() for declared in _declarations_of(value)]
        for declared in found:
            self._add(declared)
        return len(found)

    def _add(self, declared: Falsifier) -> None:
        holder = self._by_name.get(declared.name)
        if holder is not None and holder is not declared:
            raise LoadingError(
                f"two falsifiers are called {declared.name!r}: one in {holder.file}, one in {declared.file}",
                hint="rename one of them",
            )
        self._by_name[declared.name] = declared

    def __getitem__(self, name: str) -> Falsifier:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._by_name))

    def __len__(self) -> int:
        return len(self._by_name)
