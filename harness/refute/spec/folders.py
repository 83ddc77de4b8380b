"""Default folders: where a repository keeps specs, falsifiers, contracts and runs, and refute what it downloads."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from refute.errors import UsageError

SPECS = Path("specs")
FALSIFIERS = Path("falsifiers")
CONTRACTS = Path("contracts")

# What refute itself writes: runs, and the store of evidence.
REFUTE_DIR = Path(".refute")

# A path that starts at the root, alone or behind `--option=`, `::` or a list's separator; its last name is kept.
_ABSOLUTE = re.compile(r"(?<![^=:\s,])/(?:[^/=:\s,]+/)*([^/=:\s,]+)/?")


def folders(named: Sequence[Path] | None, default: Path) -> list[Path]:
    """The folders that were named or, where none was, the default if it is there."""
    return list(named) if named else [default] if default.exists() else []


def where_specs_are() -> str:
    """A hint for somebody in a folder without specs: the nearest folder above it that has them, or how to get some."""
    above = next((folder for folder in Path.cwd().parents if (folder / SPECS).is_dir()), None)
    return "start with `refute init`" if above is None else f"go to {above}, which has {SPECS}/"


def without_folders(text: str, here: Path) -> str:
    """`text` as it may be signed: a path below `here` starts there, of any other absolute one the last name is kept."""
    return _ABSOLUTE.sub(r"\1", text.replace(f"{here}{os.sep}", ""))


def runs_folder(refute_dir: Path) -> Path:
    """Where runs lie, each in a folder of its own, with `latest` pointing to the one judged last."""
    return refute_dir / "runs"


def store_folder(refute_dir: Path) -> Path:
    """Where evidence is kept, unless another store is named."""
    return refute_dir / "store"


def cache_folder() -> Path:
    """Where downloads are kept, outside any repository: $REFUTE_CACHE, else the user's cache folder.

    Raises UsageError where there is no home folder for it.
    """
    if named := os.environ.get("REFUTE_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refute"
    except RuntimeError as error:
        raise UsageError(
            f"there is no folder for downloads: user {os.getuid()} has no home folder, and HOME is not set",
            hint="set REFUTE_CACHE to a folder for them",
        ) from error


# The last of its generation; in an environment of its own, which is complete once it holds a file of that name.
OLDER_TRANSFORMERS = "4.57.6"
COMPLETE = "complete"


def older_transformers_folder() -> Path:
    """Where the environment with the older transformers is, or will be made, for this interpreter and what it finds.

    Raises as `cache_folder` does.
    """
    here = hashlib.sha256("\n".join(installed_here()).encode()).hexdigest()[:12]
    return cache_folder() / f"transformers-{OLDER_TRANSFORMERS}-{sys.implementation.cache_tag}-{here}"


def installed_here() -> list[str]:
    """The folders of installed distributions that this interpreter searches."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()]
