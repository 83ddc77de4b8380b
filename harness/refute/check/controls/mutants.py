"""Mutants of a falsifier: its source with one thing wrong, each a change that somebody could have made.

Only what decides a measurement is changed: the function itself and the functions of its file that it calls. Controls,
bars and the sample size `n` beside a measurement stay as they are.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from refute.falsifier.registry import Falsifier, Registry

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}

_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_DROPPED = ("abs", "set", "sorted")
_CONSTANTS = (0.0, 1.0, -1.0)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, what was there, and what stands there now."""

    file: Path
    line: int
    change: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file.name}:{self.line}"


def mutants_of(falsifier: Falsifier) -> Iterator[Mutant]:
    """Every mutant of `falsifier`, function by function. One at a time: each is a whole syntax tree."""
    tree = ast.parse(falsifier.file.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in sorted(_reached(falsifier.measure.__name__, functions), key=lambda name: functions[name].lineno):
        for number, node in enumerate(_nodes(functions[name])):
            for label, change in _changes(node):
                yield _mutant(falsifier.file, tree, name, number, label, change)


def bring_to_life(mutant: Mutant, falsifier: Falsifier) -> Falsifier | None:
    """The mutated falsifier with the controls of the real one; None where its file no longer loads."""
    name = f"{falsifier.measure.__module__}.mutant"
    module = ModuleType(name)
    module.__file__ = str(mutant.file)
    # It imports what the original does, helpers beside its file among them.
    vars(module)["__builtins__"] = vars(sys.modules[falsifier.measure.__module__])["__builtins__"]
    sys.modules[name] = module
    registry = Registry()
    try:
        exec(compile(mutant.tree, str(mutant.file), "exec"), vars(module))  # noqa: S102  # the file that was loaded before
        registry.add_from(vars(module))
    except Exception:  # noqa: BLE001  # whatever a broken module raises: it is stillborn
        return None
    finally:
        del sys.modules[name]
    return registry.get(falsifier.name)


def _reached(start: str, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """The functions of the file that `start` calls, itself included."""
    reached, open_ends = set[str](), [start]
    while open_ends:
        name = open_ends.pop()
        if name in functions and name not in reached:
            reached.add(name)
            open_ends += [
                node.id for part in functions[name].body for node in ast.walk(part) if isinstance(node, ast.Name)
            ]
    return reached


def _nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a body, in a fixed order; what stands behind `n=`, in errors and in docstrings is left out."""
    for part in function.body:
        yield from _walk(part)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Raise | ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg == "n"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    match node:
        case ast.Compare(ops=ops):
            for place, operator in enumerate(ops):
                for other in _COMPARISONS.get(type(operator), ()):
                    yield f"{type(operator).__name__} -> {other.__name__}", _set_operator(place, other)
        case ast.BinOp(op=operator) if (other_kind := _ARITHMETIC.get(type(operator))) is not None:
            yield f"{type(operator).__name__} -> {other_kind.__name__}", _set_attribute("op", other_kind())
            yield "ignore the right side", lambda found: found.left  # type: ignore[attr-defined]
            yield "ignore the left side", lambda found: found.right  # type: ignore[attr-defined]
        case ast.BoolOp(values=values):
            for place in range(len(values)):
                yield f"ignore condition {place + 1}", _without(place)
        case ast.UnaryOp(op=ast.Not()):
            yield "drop not", lambda found: found.operand  # type: ignore[attr-defined]
        case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in _SWAPPED:
            yield f"{name} -> {_SWAPPED[name]}", _set_attribute("func", ast.Name(_SWAPPED[name], ast.Load()))
        case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in _DROPPED:
            yield f"drop {name}", lambda found: found.args[0]  # type: ignore[attr-defined]
        case ast.Call(func=ast.Name(id="Measurement"), args=[_, _, *_]):
            for constant in _CONSTANTS:
                yield f"measure always {constant:g}", _set_argument(1, constant)
            if any(keyword.arg == "interval" for keyword in node.keywords):
                yield "drop the interval", _without_keyword("interval")
        case ast.Expr(value=ast.Yield()):
            yield "drop the measurement", lambda _found: ast.Pass()
        case ast.If(body=[ast.Raise(), *_]):
            yield "remove the guard", lambda _found: ast.Pass()
        case ast.comprehension(ifs=[_, *_]):
            yield "ignore the filter", _set_attribute("ifs", [])
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            yield f"{value} -> {value + 1}", lambda _found: ast.Constant(value + 1)
        case ast.Subscript(slice=ast.Slice()):
            yield "ignore the slice", lambda found: found.value  # type: ignore[attr-defined]
        case ast.AugAssign():
            yield "drop the addition", lambda _found: ast.Pass()


def _mutant(
    file: Path, tree: ast.Module, function: str, number: int, label: str, change: Callable[[ast.AST], ast.AST | None]
) -> Mutant:
    original = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    body = copy.deepcopy(original)  # and not the whole file, which takes ten times as long
    changed = ast.Module([body if node is original else node for node in tree.body], tree.type_ignores)
    target = next(node for place, node in enumerate(_nodes(body)) if place == number)
    line = getattr(target, "lineno", 0) or getattr(getattr(target, "iter", None), "lineno", 0)
    text = ast.unparse(target)
    replacement = change(target)
    if replacement is not None:
        _Replace(target, replacement).visit(body)
    ast.fix_missing_locations(body)
    return Mutant(file, line, f"{label}: {_short(text)}", changed)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, replacement: ast.AST) -> None:
        self._target, self._replacement = target, ast.copy_location(replacement, target)

    def visit(self, node: ast.AST) -> ast.AST:
        return self._replacement if node is self._target else self.generic_visit(node)


def _set_attribute(name: str, value: object) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node, name, value)


def _set_operator(place: int, kind: type[ast.cmpop]) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        if isinstance(node, ast.Compare):
            node.ops[place] = kind()

    return change


def _set_argument(place: int, value: float) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            node.args[place] = ast.Constant(value)

    return change


def _without(place: int) -> Callable[[ast.AST], ast.AST]:
    def change(node: ast.AST) -> ast.AST:
        values = node.values if isinstance(node, ast.BoolOp) else []
        kept = values[:place] + values[place + 1 :]
        return kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept) if isinstance(node, ast.BoolOp) else node

    return change


def _without_keyword(name: str) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != name]

    return change
