"""Which contract covers the code behind a falsifier: modules that both of them reach. Read from source, nothing runs.

A falsifier reaches the modules that its file imports, and those that made the evidence it reads: from the function of
an experiment, name by name, within the package of that function. Words that everybody imports connect nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from refute.check.contracts.model import Contract, contract_files, load_contract
from refute.errors import SpecError
from refute.evidence.experiment import Plan
from refute.evidence.reach import module_file
from refute.falsifier.registry import Falsifier

_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Place = tuple[str, str]  # a module, and a name in it; "" for the whole file


def readable_contracts(folders: Iterable[Path]) -> tuple[Contract, ...]:
    """The contracts in `folders`, in the order of their files; `refute check` tells of files that are none."""
    found = []
    for path in (path for folder in folders for path in contract_files(folder)):
        try:
            found.append(load_contract(path).contract)
        except SpecError:
            continue
    return tuple(found)


def linked_contracts(
    falsifiers: Mapping[str, Falsifier], plan: Plan, contracts: Iterable[Contract]
) -> dict[str, tuple[str, ...]]:
    """By falsifier, the ids of contracts that name a module which it reaches through `plan`, sorted."""
    listed = list(contracts)
    if not listed:
        return {}
    reached = {name: _modules_of(falsifier, plan) for name, falsifier in falsifiers.items()}
    return {
        name: tuple(sorted(each.contract for each in listed if not modules.isdisjoint(each.modules)))
        for name, modules in reached.items()
    }


def _modules_of(falsifier: Falsifier, plan: Plan) -> frozenset[str]:
    tree = _parsed(falsifier.file)
    statements = (
        [] if tree is None else [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    )
    own = frozenset(module for node in statements for _, (module, _) in _imports(node))
    entries = (plan[need].entry for need in falsifier.needs if need in plan)
    return own.union(*(reached_modules(entry) for entry in entries if entry is not None))


def reached_modules(entry: str) -> frozenset[str]:
    """The modules that `package.module:function` reaches within its package: those that define a name it uses."""
    module, _, function = entry.partition(":")
    package = ".".join(module.split(".")[: 3 if module.startswith("refute.engines.") else 1]) + "."
    seen, open_ends = set[_Place](), [(module, function)]
    while open_ends:
        place = open_ends.pop()
        if place not in seen and place[0].startswith(package):
            seen.add(place)
            open_ends += _used_by(place)
    return frozenset(module for module, name in seen if name in _outline(module).defined)


@cache
def _used_by(place: _Place) -> tuple[_Place, ...]:
    """What the definition of a name refers to, in its file or another; where it was imported, that."""
    module, name = place
    outline = _outline(module)
    found = [outline.imported[name]] if name in outline.imported else []
    for node in outline.defined.get(name, ()):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                found.append((module, inner.id))
            elif isinstance(inner, ast.Import | ast.ImportFrom):
                found += dict(_imports(inner)).values()
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Outline:
    """The names of a file: what defines each, and (module, name) of those from elsewhere. `""` is the whole file."""

    defined: Mapping[str, Sequence[ast.AST]]
    imported: Mapping[str, _Place]


@cache
def _outline(module: str) -> _Outline:
    path = module_file(module)
    tree = None if path is None else _parsed(path)
    if tree is None:
        return _Outline({}, {})
    defined: dict[str, list[ast.AST]] = {"": [tree]}
    imported: dict[str, _Place] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= _imports(node)
        names = (
            [node.name]
            if isinstance(node, _NAMED)
            else [
                inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            ]
        )
        for name in names:
            defined.setdefault(name, []).append(node)
    return _Outline(defined, imported)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, _Place]]:
    """Names, and where they come from."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, (alias.name, "")) for alias in node.names)
    elif node.module is not None and node.level == 0:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield alias.asname or alias.name, (inner, "") if _is_module(inner) else (node.module, alias.name)


@cache
def _is_module(name: str) -> bool:
    return module_file(name) is not None


@cache
def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
