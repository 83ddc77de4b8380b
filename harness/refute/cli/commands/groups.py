"""Options that belong together as one argument of a command: a frozen dataclass, each field of which is an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer reads it: in the place of an argument whose type is a dataclass stand the fields of that."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    @wraps(command)
    def call(**given: object) -> None:
        made = {name: kind(**{each: given.pop(each) for each in _names(kind)}) for name, kind in groups.items()}
        command(**made, **given)

    asked = inspect.signature(command).parameters
    flat = [each for name in asked for each in _flat(asked[name], hints[name])]
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]  # what `inspect` looks for first
    call.__annotations__ = {each.name: each.annotation for each in flat}
    return call


def _names(kind: Any) -> list[str]:
    return [each.name for each in fields(kind)]


def _flat(parameter: Parameter, kind: Any) -> Iterator[Parameter]:
    """By keyword alone, as typer calls: so an argument without a default may follow one that has one."""
    if not is_dataclass(kind):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind)
        return
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        default = Parameter.empty if each.default is MISSING else each.default
        yield Parameter(each.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[each.name])
