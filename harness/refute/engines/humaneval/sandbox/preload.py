"""Builds the `-c` program that starts one of our workers under a bare interpreter, from its code alone.

The sandboxed interpreter sees neither this package nor its folder, and one that runs as another user may not
be able to read them, so the compiled modules travel in the command line. Nothing in them is secret.
"""

from __future__ import annotations

import base64
import marshal
import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal

Worker = Literal["judge_worker", "sandbox_worker"]

_NEEDED = {
    "judge_worker": ("wire", "template"),
    "sandbox_worker": ("wire", "syscall_filter", "confinement", "template"),
}

# Bytecode of this interpreter for this interpreter: compiling the source would take 6 to 15 ms more a start.
_BOOT = """
import binascii, marshal, sys
for name, code in marshal.loads(binascii.a2b_base64({modules!r})):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main()
"""


@cache
def worker_program(name: Worker) -> str:
    """A program that defines the modules that the worker module `name` needs, and runs its `main`."""
    folder = Path(__file__).parent
    modules = [
        (
            f"refute.engines.humaneval.sandbox.{part}",
            compile((folder / f"{part}.py").read_text(encoding="utf-8"), part, "exec", dont_inherit=True),
        )
        for part in (*_NEEDED[name], name)
    ]
    return _BOOT.format(modules=base64.b64encode(marshal.dumps(modules)))


def worker_command(name: Worker) -> list[str]:
    """The command that runs worker module `name`: the base interpreter, no site packages, no bytecode files.

    `-s -P` and an environment of our own are what `-I` would give, but leave PYTHONHASHSEED in force, without
    which the order of a set, and with it a verdict, would differ from run to run.
    """
    return [interpreter(), "-s", "-S", "-P", "-B", "-c", worker_program(name)]


def interpreter() -> str:
    """The real path of the interpreter behind this one, whatever virtual environment it runs in."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def worker_environment() -> dict[str, str]:
    """All that a worker may see of the environment."""
    return {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
