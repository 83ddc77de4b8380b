"""The command that runs one of refute's modules isolated, and the folders that it may import from."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from refute.isolation import start
from refute.isolation.start import Places

# -I: no PYTHON* variable counts, no user site-packages, and neither the working folder nor a script's is searched.
_ISOLATED = ("-I", "-S")

# The same for a caller who hands over an environment of his own making, in which PYTHONHASHSEED shall count.
_SEEDED = ("-s", "-S", "-P")

# How a line of a `.pth` file begins that is a comment, or code.
_NO_FOLDER = ("#", "import ", "import\t")


def isolated_command(
    module: str, *arguments: str, own_environment: bool = False, packs: bool = True, extra: Sequence[str] = ()
) -> list[str]:
    """The command that runs `module` of this installation isolated (see `refute.isolation.start`).

    With `own_environment`, the caller starts it in one in which only its own PYTHON* variables are left. With `packs`
    it may import from folders that `.pth` files name, where falsifier packs lie that are installed editable; the
    judged repository may be among them. `extra` are folders that are searched last.
    """
    places = installed_places()
    places = replace(places, others=(*(places.others if packs else ()), *extra))
    flags = _SEEDED if own_environment else _ISOLATED
    return [sys.executable, *flags, "-X", "utf8", _script(), places.to_json(), module, *arguments]


@cache
def installed_places() -> Places:
    """The folders of this installation: refute's own, site-packages, and those that `.pth` files there name.

    Lines of `.pth` files that are code are not run: what they would have made importable is not.
    """
    started = start.places_of_this_process()
    libraries = _site_packages() if started is None else started.libraries
    named = dict.fromkeys(folder for library in libraries for folder in path_lines(Path(library)))
    own = dict.fromkeys([str(Path(__file__).resolve().parents[2]), *filter(_holds_own, named)])
    own_folders = tuple(each for each in own if each not in libraries)
    return Places(own_folders, libraries, tuple(each for each in named if each not in own), sys.prefix)


def _site_packages() -> tuple[str, ...]:
    return tuple(folder for folder in map(_real, site.getsitepackages()) if Path(folder).is_dir())


def _holds_own(folder: str) -> bool:
    return any((Path(folder) / package / "__init__.py").is_file() for package in start.OWN)


def path_lines(library: Path) -> Iterator[str]:
    """The folders that `.pth` files in `library` name, such as those of editable installs."""
    for file in sorted(library.glob("*.pth")):
        for line in map(str.strip, file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()):
            if line and not line.startswith(_NO_FOLDER) and (library / line).is_dir():
                yield _real(library / line)


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _script() -> str:
    return str(Path(__file__).with_name("start.py").resolve())
