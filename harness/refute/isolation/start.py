"""Runs a module of an installation and nothing else: python -I -S start.py PLACES MODULE ARGUMENTS…

`-S`: no line of a `.pth` file, no sitecustomize and no usercustomize runs before it; what may be imported is what
`PLACES` names. refute's own modules, and all outside the folders of libraries, are compiled from their sources, and the
SHA-256 of what was compiled is kept: a `.pyc` beside a source need not say the same.

Not protected: the interpreter, its standard library, its site-packages. Who can write there can change refute itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

# This file as a module: what runs as a script is also what `import` finds.
_NAME = "refute.isolation.start"

# refute's own packages: compiled from their sources wherever they are installed.
OWN = ("refute", "refute_falsifiers")

# pydantic would import what any installed distribution names in its entry points, such as the judged repository's.
_NO_PLUGINS = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}


@dataclass(frozen=True, slots=True)
class Places:
    """Folders to import from: libraries and then all others, behind the standard library.

    From those in `own` refute's own packages come, and nothing else does.
    """

    own: tuple[str, ...]
    libraries: tuple[str, ...]
    others: tuple[str, ...]
    prefix: str

    def to_json(self) -> str:
        """As `main` reads it."""
        return json.dumps(asdict(self), separators=(",", ":"))


class SourceOnly(SourceFileLoader):
    """Compiles the source as it is now, and notes its SHA-256."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source, never that of a `.pyc`."""
        path = self.get_filename(fullname)
        data = self.get_data(path)
        _compiled[fullname] = hashlib.sha256(data).hexdigest()
        return self.source_to_code(data, path)


class _Finder:
    """Finds what the path finder finds; sources outside the folders of libraries are compiled as they are."""

    def __init__(self, own: Sequence[str], libraries: Sequence[str]) -> None:
        self._own, self._libraries = own, libraries

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, self._own if self._own and name in OWN else path, target)
        if spec is None or spec.origin is None or self._is_library(name, spec.origin):
            return spec
        if not isinstance(spec.loader, SourceFileLoader):
            if spec.origin.endswith(".pyc"):
                raise ImportError(f"{spec.origin} is bytecode without its source, outside the folders of libraries")
            return spec
        spec.loader, spec.cached = SourceOnly(name, spec.origin), None
        return spec

    def _is_library(self, name: str, origin: str) -> bool:
        return name.partition(".")[0] not in OWN and is_below(origin, self._libraries)


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one in `folders`, by its name: a package there may be a link to where an installer keeps it."""
    return os.path.normpath(path).startswith(tuple(os.path.normpath(folder) + os.sep for folder in folders))


def compiled_sources() -> Mapping[str, str]:
    """SHA-256 of each source that was compiled here, by module; nothing in an interpreter started otherwise."""
    return dict(_compiled)


def count_compiled(sources: Mapping[str, str]) -> list[str]:
    """Count what a child compiled as if it had been compiled here; returns the modules that had another source here."""
    differing = sorted(name for name, digest in sources.items() if _compiled.get(name, digest) != digest)
    _compiled.update(sources)
    return differing


def places_of_this_process() -> Places | None:
    """What this interpreter was started with; None where it was started otherwise."""
    return _started[0] if _started else None


_compiled: dict[str, str] = {}
_started: list[Places] = []


def main() -> None:
    """Search `PLACES`, then run the module as `python -m` does."""
    given, module = json.loads(sys.argv[1]), sys.argv[2]
    folders = {name: tuple(given[name]) for name in ("own", "libraries", "others")}
    _started.append(Places(prefix=given["prefix"], **folders))
    sys.prefix = sys.exec_prefix = given["prefix"]  # that of the virtual environment, as `site` would have it
    # Before the path finder, which stays for whoever asks it for distributions.
    sys.meta_path.insert(0, _Finder(folders["own"], [*sys.path, *folders["libraries"]]))
    sys.path += [*folders["libraries"], *folders["others"]]
    os.environ.update(_NO_PLUGINS)
    sys.modules[_NAME] = sys.modules["__main__"]
    sys.argv[:3] = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
