"""An environment with the older transformers, made once in the user's cache folder; torch stays this one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from refute.errors import MissingInputsError
from refute.isolation.environment import clean_environment
from refute.spec.folders import COMPLETE, OLDER_TRANSFORMERS, cache_folder, installed_here, older_transformers_folder

_PATIENCE_S = 900


def older_python() -> Path:
    """The interpreter of an environment in which `import transformers` gives OLDER_TRANSFORMERS, made on first use.

    Everything else that it needs and that is installed here, torch above all, it takes from here. Raises
    MissingInputsError where pip cannot make it, as without a network.
    """
    folder = older_transformers_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, installed_here())
            (folder / COMPLETE).touch()
    return folder / "bin" / "python"


def _make(folder: Path, outer: list[str]) -> None:
    """A virtual environment before whose packages nothing stands, and after which those of this one do."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], "make an environment")
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in outer), encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    _run(
        [*install, "--disable-pip-version-check", "--no-input", f"transformers=={OLDER_TRANSFORMERS}"],
        f"install transformers {OLDER_TRANSFORMERS}",
    )


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # fixed argv, no shell
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
        )
        why = "" if done.returncode == 0 else done.stderr.strip()[-400:] or f"it ended in {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        raise MissingInputsError(
            f"cannot {what}: {why}",
            hint="check the network and pip, or fill the cache on a connected machine of the same kind "
            f"({cache_folder()}; REFUTE_CACHE names another folder)",
        )
