"""The modules of one folder of falsifiers: imported under private names, and able to import helpers beside them.

A helper is found by the `import` statements of its neighbours and by nobody else's: no folder is put on `sys.path`,
where two repositories would mistake each other's `_helpers` for their own.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from refute.disk import open_regular
from refute.errors import LoadingError
from refute.falsifier.helpers import helpers_of
from refute.isolation.start import SourceOnly

USER_MODULES = "_refute_user."  # private names, so that no folder of the user's repository can be shadowed


class OwnFolder:
    """A folder of falsifiers; each of its files is run once, however many neighbours import it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[Path, ModuleType] = {}

    def load(self, file: Path) -> ModuleType:
        """The module of `file`, run if it was not yet. Raises whatever running it raises."""
        if file not in self._modules:
            self._run(file)
        return self._modules[file]

    def _run(self, file: Path) -> None:
        # A private name per path: a folder called `harness` or an `__init__.py` in the repository changes nothing.
        name = f"{USER_MODULES}{file.stem}_{hashlib.sha256(bytes(file.resolve())).hexdigest()[:16]}"
        spec = importlib.util.spec_from_file_location(name, file, loader=SourceOnly(name, str(file)))
        if spec is None or spec.loader is None:
            raise LoadingError(f"{file} is not an importable Python file")
        module = importlib.util.module_from_spec(spec)
        with open_regular(file):
            helpers = helpers_of(file)
        # `import` looks for `__import__` here, now and whenever a function of this module runs.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _Importing(self, helpers)}
        sys.modules[name] = self._modules[file] = module
        try:
            spec.loader.exec_module(module)
            for helper in helpers.values():  # one that a function imports must not change until it is called
                self.load(helper)
        except BaseException:
            del sys.modules[name], self._modules[file]
            raise


class _Importing:
    """`__import__` of one file: its helpers first, then what everybody finds."""

    def __init__(self, folder: OwnFolder, helpers: Mapping[str, Path]) -> None:
        self._folder, self._helpers = folder, helpers

    def __call__(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # the names of the built-in one
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name in self._helpers:
            return self._folder.load(self._helpers[name])
        return builtins.__import__(name, globals, locals, fromlist or (), level)
