"""A command of refute in an isolated interpreter, whose arguments and environment nobody else can read.

Code of the judged repository runs in children of that process, and /proc shows them the command line and environment of
their parent: where a key lies, and its passphrase. So both are handed over through memory that has no name.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refute.isolation import start
from refute.isolation.command import isolated_command
from refute.isolation.environment import clean_environment

# In place of a command: the descriptor that holds the real one.
HANDED = "--handed-over"

# Commands that hold a key and need no code of the judged repository for it.
_GUARDED = ("gate", "dogfood", "judge", "sign-off", "countersign", "consume", "export", "publish", "keygen")
_SECRETS = frozenset({"REFUTE_KEY_PASSPHRASE"})
_CTRL_C = (signal.SIGINT,)
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Handover:
    """A command that can be started once, in `environment`, by a process that leaves it `descriptor` open."""

    command: list[str]
    environment: dict[str, str]
    descriptor: int


def hand_over(arguments: Sequence[str], environment: Mapping[str, str]) -> Handover:
    """`refute ARGUMENTS` as an isolated process with `environment`; its caller closes the descriptor."""
    descriptor = _nameless(json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode())
    visible = {name: text for name, text in clean_environment(environment).items() if name not in _SECRETS}
    return Handover(isolated_command("refute", HANDED, str(descriptor), packs=False), visible, descriptor)


def _nameless(content: bytes) -> int:
    """A descriptor to read `content` from, which has no name anywhere; under Linux nobody can change it, either."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("refute", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as unlinked:
            descriptor = os.dup(unlinked.fileno())
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if sys.platform == "linux":
        # Whoever opens it on the way, through /proc.
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def isolate(arguments: list[str]) -> list[str]:
    """The command line of this process, isolated if it is one that has to be.

    A process that runs one that holds a key replaces itself by an isolated one, and that one gets here what it was
    handed. In a process that is not refute's own, such as a test's, nothing changes.
    """
    if arguments[:1] == [HANDED]:
        return _take_over(int(arguments[1]))
    if arguments[:1] and arguments[0] in _GUARDED and _is_the_command():
        handover = hand_over(arguments, os.environ)
        os.set_inheritable(handover.descriptor, True)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):  # full, or closed before the start: then it is None
                stream.flush()
        # A Ctrl-C waits until the new process can answer it, behind the start of Python.
        signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
        os.execve(sys.executable, handover.command, handover.environment)  # noqa: S606  # our own interpreter
    return arguments


def _take_over(descriptor: int) -> list[str]:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
    with os.fdopen(descriptor, "rb") as stream:
        told = json.loads(stream.read())
    # Of these, /proc shows what this process began with, and nothing that is put there later.
    os.environ.update({name: text for name, text in told["environment"].items() if name not in os.environ})
    sys.argv = ["refute", *told["arguments"]]
    _hide_memory()
    return list(told["arguments"])


def _is_the_command() -> bool:
    """Whether this process was started as `refute` or `python -m refute`, and is not isolated yet."""
    main = sys.modules["__main__"]
    module, file = getattr(main, "__spec__", None), getattr(main, "__file__", None) or ""
    if module is None:
        started = Path(file).name == "refute"
    else:
        # In two words: the module's dotted name would bind the key of every experiment to the command line (reach.py).
        started = (module.parent, module.name.rpartition(".")[2]) == ("refute", "__main__")
    return started and start.places_of_this_process() is None


def _hide_memory() -> None:
    """Linux: only a process that may trace any other can read this one's memory and descriptors."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_DUMPABLE), ctypes.c_ulong(0))
