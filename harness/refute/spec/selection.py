"""Selection: which release and which specs a command or a gate run is about, from what was named and what lies there.

The gate, `refute lock` and `refute check` all ask here, so that what is locked and checked is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refute.errors import UsageError
from refute.spec.criteria import LoadedSpec, load_spec, merge
from refute.spec.files import LoadedRelease, load_release, resolve
from refute.spec.folders import SPECS, where_specs_are

DEFAULT_RELEASE = Path("releases") / "embedded.yaml"


def select(
    release: Path | None, roots: Sequence[Path], *, named: Sequence[Path] | None = None
) -> tuple[LoadedRelease, tuple[LoadedSpec, ...]]:
    """The release to judge, and its specs: those that it demands, and those `named` (files or folders).

    Without a name, the release is chosen below `roots`, and the specs are those demanded or, where the release demands
    none, all of `roots`. Raises UsageError where nothing can be chosen, SpecError with every fault of a file.
    """
    loaded = load_release(release or choose_release(roots))
    demanded = [resolve(loaded, text) for text in loaded.release.specs]
    if named is None:
        named = [] if demanded else roots
    given = (*demanded, *spec_files(named))
    # A link that leads nowhere keeps its own name, by which it can be found.
    paths = list(dict.fromkeys(path.resolve() if path.exists() else path for path in given))
    if not paths:
        places = ", ".join(map(str, roots))
        raise UsageError(f"no specs: nothing to refute (looked in {places})", hint=where_specs_are())
    return loaded, load_specs(paths)


def load_specs(paths: Sequence[Path]) -> tuple[LoadedSpec, ...]:
    """The specs at `paths`, in their order. Raises SpecError for faulty files, and for an id that two of them use."""
    return merge([load_spec(path) for path in paths])


def choose_release(roots: Sequence[Path]) -> Path:
    """`releases/embedded.yaml` below one of `roots`, or the only release there. Raises UsageError for none or many.

    Roots that are files have no releases; where all are, the default folder of specs is looked through.
    """
    folders = [root for root in roots if not root.is_file()] or [SPECS]
    for folder in folders:
        if (folder / DEFAULT_RELEASE).is_file():
            return folder / DEFAULT_RELEASE
    found = sorted(path for folder in folders for path in _releases(folder))
    if len(found) != 1:
        listed = ", ".join(map(str, found)) or "none"
        raise UsageError(
            f"cannot tell which release to judge; found below {', '.join(map(str, folders))}: {listed}",
            hint="name one with --release FILE" + ("" if found else f", or {where_specs_are()}"),
        )
    return found[0]


def spec_files(paths: Sequence[Path]) -> list[Path]:
    """`paths` in their order, in the place of each folder its YAML files and those of its subfolders.

    Those in `releases/` are no specs, and hidden folders are not looked into.
    """
    return [file for path in paths for file in (_below(path) if path.is_dir() else [path])]


def find_files(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The spec and the release files at `paths`; of a folder, those of `spec_files` and those in releases/ below it."""
    named = [path for path in paths if not path.is_dir() and path.parent.name == DEFAULT_RELEASE.parent.name]
    below = [file for path in paths if path.is_dir() for file in _releases(path)]
    return spec_files([path for path in paths if path not in named]), named + below


def yaml_files(folder: Path) -> list[Path]:
    """What is called a YAML file directly in `folder`, sorted; none where there is no such folder.

    A link that leads nowhere is among them, and so is a pipe: reading it says so, where leaving it out would judge less
    than was meant. Hidden files are left to editors.
    """
    return sorted(path for path in folder.glob("[!.]*") if is_yaml(path) and not path.is_dir())


def is_yaml(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix in (".yaml", ".yml")


def _releases(folder: Path) -> list[Path]:
    return yaml_files(folder / DEFAULT_RELEASE.parent)


def _below(folder: Path) -> list[Path]:
    inside = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.name != DEFAULT_RELEASE.parent.name and not path.name.startswith(".")
    )
    return [*yaml_files(folder), *(file for path in inside for file in _below(path))]
