"""The `@falsifier` decorator: a declaration is checked completely the moment it is made."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from refute.context import Context, Parameter
from refute.controls import Control
from refute.errors import LoadingError, RegistrationError
from refute.outcome import Measurement, Outcome

Measure = Callable[[Context], Iterable[Measurement]]
F = TypeVar("F", bound=Measure)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MARK = "__refute_falsifier__"


@dataclass(frozen=True, slots=True)
class Falsifier:
    """A declared falsifier. `measures` maps measurement names to units, `parameters` names to defaults."""

    name: str
    measure: Measure
    needs: tuple[str, ...]
    measures: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    controls: tuple[Control, ...]
    doc: str
    file: Path

    @property
    def code(self) -> str:
        """SHA-256 of the file that defines the falsifier."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


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
        file = Path(inspect.getsourcefile(function) or "<unknown>")
        where = f"falsifier {name!r} ({file.name}, function {getattr(function, '__name__', '?')})"
        faults = list(_faults(name, function, needs, measures, controls, parameters or {}))
        if faults:
            raise RegistrationError(f"{where}: " + "; ".join(faults))
        declared = Falsifier(
            name,
            function,
            tuple(needs),
            dict(measures),
            dict(parameters or {}),
            tuple(controls),
            inspect.getdoc(function) or "",
            file,
        )
        _declared(function).append(declared)
        return function

    return declare


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
) -> Iterable[str]:
    if not _NAME.fullmatch(name):
        yield "its name must be lower-case words joined by hyphens, such as `held-out-loss`"
    if isinstance(needs, str) or not needs:
        yield "`needs` must list the evidence that it reads, and cannot be empty: no evidence proves nothing"
    if not measures:
        yield "`measures` must map each measurement to its unit, and cannot be empty"
    for measurement, unit in measures.items():
        if not unit or unit.split() != [unit]:
            yield f"measurement {measurement!r} needs a unit without spaces, found {unit!r}"
    for parameter, default in parameters.items():
        if not isinstance(default, bool | int | float | str):
            yield f"parameter {parameter!r} needs a default that is a number, text or true/false"
    if len(inspect.signature(function).parameters) != 1:
        yield "it must take exactly one argument, the Context"
    if not inspect.getdoc(function):
        yield "it needs a docstring saying what would refute the criterion"
    strangers = [control for control in controls if not isinstance(control, Control)]
    if strangers:
        yield "`controls` must be made with known_good(…) or known_bad(…)"
        return
    for expected, kind in ((Outcome.CORROBORATED, "known_good"), (Outcome.FALSIFIED, "known_bad")):
        if not any(control.expected is expected for control in controls):
            yield f"it has no {kind} control: a check counts only if it has been shown able to fail"
    names = [control.name for control in controls]
    if len(set(names)) != len(names):
        yield "two of its controls have the same name"


class Registry(Mapping[str, Falsifier]):
    """All falsifiers of a run by name. Two of one name are an error, never a replacement."""

    def __init__(self) -> None:
        self._by_name: dict[str, Falsifier] = {}

    def add_from(self, namespace: Mapping[str, object]) -> int:
        """Add every falsifier among the values of a module's namespace; returns how many."""
        found = [
            declared
            for value in namespace.values()
            for declared in getattr(value, _MARK, ())
            if callable(value) and isinstance(declared, Falsifier)
        ]
        for declared in found:
            self._add(declared)
        return len(found)

    def _add(self, declared: Falsifier) -> None:
        holder = self._by_name.get(declared.name)
        if holder is not None and holder.measure is not declared.measure:
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
