"""A fresh virtual environment, and a stranger's program in it: no user's folder, no cache, no variables of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refute.errors import ExperimentError
from refute.isolation.environment import clean_environment

_STRANGER = Path(__file__).with_name("stranger.py")
# Where refute is imported from: in a process of the gate no entry of `sys.path` says so.
_OWN = Path(__file__).parents[4]
_PATIENCE_S = 900
# What a program with a network could reach: the hub by name, and two servers by address, where no name is looked up.
HOSTS = (("huggingface.co", 443), ("1.1.1.1", 443), ("9.9.9.9", 443))


def fresh_python(folder: Path) -> Path:
    """The interpreter of a new environment in `folder`, which finds the packages that are installed here."""
    venv.EnvBuilder(symlinks=True, clear=True).create(folder)
    (site,) = (folder / "lib").glob("python*/site-packages")
    outer = [path for path in sys.path if Path(path).is_dir() and Path(path).name != "lib-dynload"]
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in (_OWN, *outer)), encoding="utf-8")
    return folder / "bin" / "python"


def ask_stranger(python: Path, request: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    """What the program says to `request`, with a home of its own in `scratch`. Raises ExperimentError for no answer."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    question, answer = scratch / "request.json", scratch / "answer.json"
    answer.unlink(missing_ok=True)
    question.write_text(json.dumps(request), encoding="utf-8")
    own = {"HOME": str(home), "HF_HOME": str(home / "hub"), "XDG_CACHE_HOME": str(home / "cache"), "USE_TF": "0"}
    command = [str(python), "-I", str(_STRANGER), str(question), str(answer)]
    try:
        done = subprocess.run(  # noqa: S603  # fixed argv, no shell
            command,
            stdin=subprocess.DEVNULL,  # transformers asks there whether to run code of the model
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            env={**clean_environment(os.environ, own=False), **own},
        )
    except subprocess.TimeoutExpired as error:
        raise ExperimentError(f"{request['engine']} gave no answer in {_PATIENCE_S} s") from error
    if not answer.is_file():
        raise ExperimentError(f"{request['engine']} ended in {done.returncode} without an answer: {done.stderr[-600:]}")
    said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return said
