"""What this process has loaded, as an experiment's process says it once the experiment is done."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from refute.disk import file_sha256
from refute.evidence.process.installed import owners
from refute.isolation.start import compiled_sources, is_below, places_of_this_process


def loaded(variables: Mapping[str, str]) -> dict[str, object]:
    """The fields of `refute.evidence.manifest.Ran`, as JSON data.

    `variables` are those of its environment that can change a number, as it started: libraries set others.
    """
    files = dict(_module_files(_libraries()))
    distributions, listed = owners(files.values())
    compiled = compiled_sources()
    others = {name: file for name, file in files.items() if name not in compiled and file not in listed}
    modules = {**compiled, **{name: file_sha256(Path(file)) for name, file in others.items()}}
    return {
        "modules": modules,
        "outside": [name for name in sorted(modules.keys() & files) if not is_below(files[name], _libraries())],
        "distributions": distributions,
        "variables": dict(variables),
    }


def _module_files(libraries: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Modules that came from a file, and that file; those of the standard library are left out.

    What a library puts together at run time came from none.
    """
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    for module in list(sys.modules.values()):
        spec = getattr(module, "__dict__", {}).get("__spec__")
        name, origin = (
            getattr(spec, "name", ""),
            getattr(spec, "origin", None),
        )  # what runs as `__main__` has a name, too
        if not isinstance(origin, str) or not Path(origin).is_absolute() or not Path(origin).is_file():
            continue
        # The folder of libraries may lie within that of the standard library.
        if is_below(origin, libraries) or not is_below(origin, standard):
            yield name, os.path.normpath(origin)


def _libraries() -> tuple[str, ...]:
    places = places_of_this_process()
    return () if places is None else places.libraries
