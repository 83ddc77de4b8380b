"""Find falsifiers: packs by entry point, then the `falsifiers/*.py` of a repository. Any failure stops the run."""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType

from refute.errors import LoadingError, RefuteError
from refute.falsifier.registry import Registry

GROUP = "refute.falsifiers"


USER_MODULES = "_refute_user."  # private names, so that no folder of the user's repository can be shadowed


def load_registry(folders: Iterable[Path]) -> Registry:
    """Every falsifier of installed packs and of the `*.py` files in `folders`.

    Raises:
        LoadingError: a pack or file failed to import, declares nothing, two declare one name, or a folder is none.
    """
    registry = Registry()
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        _load_pack(point, registry)
    for folder in folders:
        if not folder.is_dir():
            raise LoadingError(f"{folder} is not a folder of falsifiers", hint="name a folder that holds *.py files")
        for file in falsifier_files(folder):
            module = _import(f"file {file}", partial(_load_file, file))
            if not registry.add_from(vars(module)):
                raise LoadingError(
                    f"{file} declares no falsifier",
                    hint="decorate a function with @refute.falsifier, or start the file's name with `_`",
                )
    return registry


def falsifier_files(folder: Path) -> list[Path]:
    """The files of `folder` that may declare falsifiers, sorted; helpers and tests are left out."""
    skipped = ("_", "test_", "conftest")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith(skipped))


def _load_pack(point: EntryPoint, registry: Registry) -> None:
    label = f"falsifier pack {point.name!r} ({point.value})"
    module = _import(label, partial(importlib.import_module, point.module))
    found = registry.add_from(vars(module))
    for info in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not info.name.startswith("_"):
            name = f"{point.module}.{info.name}"
            found += registry.add_from(vars(_import(label, partial(importlib.import_module, name))))
    if not found:
        raise LoadingError(f"{label} declares no falsifier")


class _SourceOnly(SourceFileLoader):
    """Compiles the file itself: a `.pyc` beside it need not say the same, and a record vouches for the source."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source as it is now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _load_file(file: Path) -> ModuleType:
    # A private name per path: a folder called `harness` or an `__init__.py` in the user's repository changes nothing.
    name = f"{USER_MODULES}{file.stem}_{hashlib.sha256(bytes(file.resolve())).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file, loader=_SourceOnly(name, str(file)))
    if spec is None or spec.loader is None:
        raise LoadingError(f"{file} is not an importable Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(label: str, load: Callable[[], ModuleType]) -> ModuleType:
    try:
        return load()
    except RefuteError as error:
        raise LoadingError(f"{label}: {error}", hint=error.hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything: SystemExit, pytest's Skipped
        raise LoadingError(
            f"{label} could not be imported: {type(error).__name__}: {error}",
            hint="run `python` on it alone to see the traceback",
        ) from error
