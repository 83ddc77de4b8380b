"""Start-up hooks: modules that Python runs before any program, where they lie outside its own folders."""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import PathFinder

from refute.isolation.command import installed_places
from refute.isolation.start import is_below

_NAMES = ("sitecustomize", "usercustomize")


def hooks_that_ran() -> tuple[str, ...]:
    """Those that ran in this process, by name."""
    found = ((name, getattr(sys.modules.get(name), "__file__", None)) for name in _NAMES)
    return tuple(name for name, file in found if file is not None and not is_below(file, _own_folders()))


def hooks_that_wait() -> tuple[str, ...]:
    """Those that lie in folders that `.pth` files of site-packages name, or beside refute: they run in whatever is
    started without `-S`."""
    places = installed_places()
    folders = [each for each in (*places.own, *places.others) if not is_below(each, _own_folders())]
    return tuple(name for name in _NAMES if PathFinder.find_spec(name, folders) is not None)


def _own_folders() -> list[str]:
    standard = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    return [*standard, *installed_places().libraries]
