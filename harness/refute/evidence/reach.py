"""Which source an experiment's key covers: every module that a process may load which runs its entry. Nothing is run.

Imports are read wherever they stand, also within functions, and so are strings that name a module (`python -m`). What
is found is more than runs, and never less: a file that finds others by computed names brings its whole folder.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import MappingProxyType

from refute.disk import file_sha256
from refute.evidence.manifest import manifest_digest
from refute.evidence.process.environment import extra_folders

# Who starts its process, and who calls the entry there. The one module that it imports by a computed name is that of
# the entry.
_STARTER, _LAUNCHER = "refute.evidence.process.engine_process", "refute.evidence.process.engine_worker"

# A file that uses one of these may load others that none of its statements names.
_FINDERS = frozenset({"__file__", "__import__", "import_module", "run_module", "run_path", "spec_from_file_location"})
_NAMING = (ast.Import, ast.ImportFrom, ast.Constant)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(?P<cut>\.?)")


@cache
def entry_digest(entry: str) -> str:
    """SHA-256 over the source of all modules that `package.module:function` may load (names and contents).

    Raises FileNotFoundError for a module that is nowhere: its digest would be that of nothing, whatever changed.
    """
    return manifest_digest(source_digests(entry))


@cache
def source_digests(entry: str) -> Mapping[str, str]:
    """SHA-256 of the source of each module that `entry` may load, by name. Raises as `entry_digest` does."""
    files = {name: _file(name) for name in loaded_modules(entry)}
    return MappingProxyType({name: file_sha256(path) for name, path in files.items() if path is not None})


@cache
def source_digest(package: str) -> str:
    """SHA-256 over the Python files of a package folder below `refute` (names and contents).

    Raises FileNotFoundError for a name that is no folder: its digest would be that of nothing, whatever changed.
    """
    folder = Path(__file__).parents[1] / package
    if not folder.is_dir():
        raise FileNotFoundError(f"no package folder at {folder}")
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*.py"))}
    return manifest_digest(files)


def loaded_modules(entry: str) -> frozenset[str]:
    """The modules of refute, and of the entry's own package, that a process may load which runs `entry`.

    Raises FileNotFoundError where the module of `entry` is nowhere.
    """
    first = entry.partition(":")[0]
    if _file(first) is None:
        raise FileNotFoundError(f"no source of the module {first}, which the experiment's entry {entry!r} names")
    packages = {first.split(".")[0], "refute"}
    seen, open_ends = set[str](), [first, _STARTER, _LAUNCHER]
    while open_ends:
        module = open_ends.pop()
        if module not in seen and module.split(".")[0] in packages and _file(module) is not None:
            seen.add(module)
            open_ends += _led_to(module)
    return frozenset(seen)


def module_file(name: str) -> Path | None:
    """The source file of module `name`, or None; nothing is imported, packages above it included."""
    parts = name.split(".")
    try:
        spec = find_spec(parts[0])  # of a name without dots this imports nothing
    except ValueError:  # a module that was put together at run time
        return None
    spec = spec or PathFinder.find_spec(parts[0], extra_folders(os.environ))
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def _file(module: str) -> Path | None:
    """`module_file`, asked once a run: what a run's modules are must not change while it runs."""
    return module_file(module)


@cache
def _led_to(module: str) -> tuple[str, ...]:
    """What loading and running `module` may load; names that are no modules are among them."""
    path = _file(module)
    if path is None:
        return ()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found, finds = {module.rpartition(".")[0]}, False  # the packages above it run, too
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # it cannot run as it is; whatever mends it changes the key
        return (*found, *_below(package))
    for node in ast.walk(tree):
        kind = type(node)
        if kind in _NAMING:
            found.update(_named(node, package))
        elif kind is ast.Name or kind is ast.Attribute:
            finds = finds or _finds(node)
    if finds and module != _LAUNCHER:
        found.update(_below(package))
    return tuple(found - {""})


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """Modules that a statement imports, or may: `from a import b` names a, and a.b where that is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        text = node.value.partition(":")[0]
        if dotted := _DOTTED.fullmatch(text):
            # `f"refute.some.package.{part}"` names all that lie there.
            yield from _below(text[:-1]) if dotted["cut"] else (text,)


def _finds(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _FINDERS and node.attr != "__file__"
    return isinstance(node, ast.Name) and node.id in _FINDERS


def _below(package: str) -> Iterator[str]:
    """Every module in the folder of `package`, at any depth."""
    init = _file(package) if package else None
    for path in [] if init is None else sorted(init.parent.rglob("*.py")):
        parts = path.relative_to(init.parent).with_suffix("").parts if init else ()
        yield ".".join((package, *(part for part in parts if part != "__init__")))
