"""A bare interpreter, ready to work, that forks one fresh process for each program.

164 canonical solutions took 5.4 s on two cores with new interpreters, and 0.9 s with forks.

Started by `preload`. It executes nothing untrusted itself. Requests arrive on a control socket: one byte and the
descriptors of the work. While a fork works, the template waits for the next byte, kills what is left of it, clears the
folders that it could write, and answers with one byte. If it cannot, it ends, and everything in its sandbox with it.
"""

# Every fork copies the page tables of what is loaded here, and pays for their end: nothing large is imported.

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_ADOPTED_S = 2.0
_MOST_DESCRIPTORS = 4
# Loaded once here rather than in every fork: what programs and tests of this kind import.
_COMMON = ("bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "random", "re")
_COMMON_TOO = ("string", "typing")


def serve(control_descriptor: int, work: Callable[[list[int]], None], writable: Iterable[str]) -> None:
    """Fork `work(descriptors)` for every request, until the control socket is closed."""
    for name in (*_COMMON, *_COMMON_TOO):
        __import__(name)
    # The first compilation makes the types of the syntax tree: some 4 ms that every fork would spend again.
    compile("0", "<warm up>", "exec")
    # A collection in a fork would write to, and so copy, every page of what was loaded here.
    gc.collect()
    gc.freeze()
    _guard()
    control = socket.socket(fileno=control_descriptor)
    folders = tuple(writable)
    while True:
        word, descriptors, _, _ = socket.recv_fds(control, 1, _MOST_DESCRIPTORS)
        if not word:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            control.close()
            os.setsid()
            work(list(descriptors))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        finished = control.recv(1)
        _kill(pid)
        if not finished:
            os._exit(0)
        try:
            for folder in folders:
                _clear(folder)
        except (OSError, RecursionError):
            os._exit(1)
        control.send(b".")


def _kill(pid: int) -> None:
    """End a fork, its group, which it leads, and, on Linux, what it put into groups of their own."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):  # it does not lead its group yet
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + _ADOPTED_S
    while adopted := _children():
        if time.monotonic() > deadline:
            os._exit(1)  # they multiply faster than this can end them
        for child in adopted:
            os.kill(child, signal.SIGKILL)
        for child in adopted:
            os.waitpid(child, 0)


def _children() -> list[int]:
    """Processes whose parent has ended, so that they are this one's now; none where the kernel does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
            return [int(child) for child in listed.read().split()]
    except FileNotFoundError:
        return []


def _clear(folder: str) -> None:
    """Remove everything below `folder`, which nobody uses any more; ends the process when something stays."""
    os.chmod(folder, stat.S_IRWXU)
    for root, names, _ in os.walk(folder):
        for name in names:
            if not os.path.islink(below := f"{root}/{name}"):
                os.chmod(below, stat.S_IRWXU)
    for root, names, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(f"{root}/{name}")
        for name in names:
            below = f"{root}/{name}"
            (os.unlink if os.path.islink(below) else os.rmdir)(below)
    if os.listdir(folder):
        os._exit(1)


def _guard() -> None:
    """Linux: keep other processes, forks included, out of this one's memory, and become the parent of orphans."""
    if not sys.platform.startswith("linux"):
        return
    zero = ctypes.c_ulong(0)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_CHILD_SUBREAPER, 1)):
        if ctypes.CDLL(None).prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
            raise OSError("a template cannot hide its memory, or adopt what its forks leave behind")
