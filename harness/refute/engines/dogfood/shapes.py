"""Shapes of what commands print for programs: keys and types, and those of the last release, which are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from importlib.resources import as_file, files
from typing import Any, Final

from refute.spec.experiments.evidence.dogfood import PrintedShape
from refute.spec.experiments.evidence_files import PRINTED_SHAPES

# Stands for every key of an object whose keys are data: names of files, packages, falsifiers.
ANY: Final = "*"
_NULL: Final = "NoneType"


def shape(value: Any) -> Any:
    """Keys and types of `value`. Whole numbers and others are one type: a float may come out whole."""
    if isinstance(value, dict):
        return _object({name: shape(each) for name, each in value.items()})
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


def difference(then: Any, now: Any, where: str) -> str:
    """What was there and is not any more, or is something else; what is new does no harm, and null may be anything."""
    if isinstance(then, dict) and isinstance(now, dict):
        if gone := sorted(then.keys() - now.keys()):
            return f"{where}.{gone[0]} is gone"
        return next((fault for each in then if (fault := difference(then[each], now[each], f"{where}.{each}"))), "")
    if isinstance(then, list) and isinstance(now, list):
        return difference(then[0], now[0], f"{where}[]") if then and now else ""
    if then == now or _NULL in (then, now):
        return ""
    return f"{where} was {then if isinstance(then, str) else type(then).__name__}, and is another type now"


def last_shapes() -> dict[str, Any]:
    """Those of the last release, by command: the file that its evidence held lies in this room."""
    with as_file(files("refute.engines.dogfood")) as room:
        return {each.command: each.shape for each in PRINTED_SHAPES.read(room, "dogfood")}


def printed(shapes: Mapping[str, Any]) -> Iterator[PrintedShape]:
    """Evidence of `shapes`, by command, in alphabetical order; what was no JSON has none."""
    for name, each in sorted(shapes.items()):
        if not isinstance(each, ValueError):
            yield PrintedShape(command=name, shape=each)


def _object(shapes: dict[str, Any]) -> dict[str, Any]:
    if all(name.isidentifier() for name in shapes):
        return dict(sorted(shapes.items()))
    return {ANY: reduce(_either, shapes.values())}


def _either(one: Any, other: Any) -> Any:
    """The shape of two values that stand beside each other: what null hides the other may show."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = one.keys() | other.keys()
        return {each: _either(one.get(each, _NULL), other.get(each, _NULL)) for each in sorted(names)}
    return other if one in (_NULL, []) else one
