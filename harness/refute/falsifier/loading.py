"""Find falsifiers: packs by entry point, then the `falsifiers/*.py` of a repository. Any failure stops the run."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from refute.errors import LoadingError, RefuteError
from refute.falsifier.error_location import place_of
from refute.falsifier.own_folder import OwnFolder
from refute.falsifier.registry import Registry

GROUP = "refute.falsifiers"


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
        _load_folder(folder, registry)
    return registry


def falsifier_files(folder: Path) -> list[Path]:
    """The files of `folder` that may declare falsifiers, sorted; helpers, tests and hidden files are left out."""
    skipped = (".", "_", "test_", "conftest")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith(skipped))


def _load_folder(folder: Path, registry: Registry) -> None:
    own = OwnFolder(folder)
    for file in falsifier_files(folder):
        module = _import(f"file {file}", partial(own.load, file), folder)
        if not registry.add_from(vars(module)):
            raise LoadingError(
                f"{file} declares no falsifier",
                hint="decorate a function with @refute.falsifier, or start the file's name with `_`",
            )


def _load_pack(point: EntryPoint, registry: Registry) -> None:
    label = f"falsifier pack {point.name!r} ({point.value})"
    module = _import(label, partial(importlib.import_module, point.module))
    found = registry.add_from(vars(module)) + sum(registry.add_from(vars(each)) for each in _below(module, label))
    if not found:
        raise LoadingError(f"{label} declares no falsifier")


def _below(package: ModuleType, label: str) -> Iterator[ModuleType]:
    """The modules in the folder of a package, at any depth; those with a leading underscore are its helpers."""
    for info in pkgutil.iter_modules(getattr(package, "__path__", ())):
        if not info.name.startswith("_"):
            module = _import(label, partial(importlib.import_module, f"{package.__name__}.{info.name}"))
            yield module
            yield from _below(module, label)


def _import(label: str, load: Callable[[], ModuleType], folder: Path | None = None) -> ModuleType:
    """What `load` gives; whatever it raises instead names the line of `folder` that it came from."""
    try:
        return load()
    except RefuteError as error:
        raise LoadingError(f"{_label(label, error, folder)}: {error}", hint=error.hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything: SystemExit, pytest's Skipped
        raise LoadingError(
            f"{_label(label, error, folder)} could not be imported: {type(error).__name__}: {error}",
            hint=_hint(error, folder),
        ) from error


def _label(label: str, error: BaseException, folder: Path | None) -> str:
    place = place_of(error, folder) if folder is not None else None
    return label if place is None else f"{label}: line {place.line} of {place.file}"


def _hint(error: BaseException, folder: Path | None) -> str:
    name = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError) and name.startswith("_") and folder is not None:
        return f"what falsifiers share lies beside them, as {folder / name}.py"
    return "run `python` on it alone to see the traceback"
