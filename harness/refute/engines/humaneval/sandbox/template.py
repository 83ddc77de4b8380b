"""A template process: a bare interpreter, ready to work, that forks one fresh process for each program.

164 canonical solutions took 5.4 s on two cores with new interpreters, and 0.9 s with forks.

Started by `preload`. It executes nothing untrusted itself. Requests arrive on a control socket: one byte and the
descriptors of the work. While a fork works, the template waits for the next byte, kills what is left of it, clears the
folders that it could write, and answers with one byte. If it cannot, it ends, and everything in its sandbox with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36

# Less than the station waits for an answer.
_LAST_S = 4.0
_PAUSE_S = 0.001
_WATCH_S = 0.02
_MOST_DESCRIPTORS = 4

# Loaded once here rather than in every fork: what programs and tests of this kind import.
_COMMON = ("bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "random", "re")
_COMMON_TOO = ("string", "typing")


def serve(
    control_descriptor: int,
    work: Callable[[list[int]], None],
    writable: Iterable[str],
    *,
    owner: int | None = None,
    most_processes: int | None = None,
) -> None:
    """Fork `work(descriptors)` for every request, until the control socket is closed.

    The folders in `writable` are cleared with the rights of the user `owner`, where forks become that one. A fork that
    has more than `most_processes` descendants is ended with all of them, where the kernel lists them.
    """
    for name in (*_COMMON, *_COMMON_TOO):
        __import__(name)
    # The first compilation makes the types of the syntax tree: some 4 ms that every fork would spend again.
    compile("0", "<warm up>", "exec")
    # A collection in a fork would write to, and so copy, every page of what was loaded here.
    gc.collect()
    gc.freeze()
    _guard()
    if most_processes is not None:
        _come_first()
    control = socket.socket(fileno=control_descriptor)
    folders = {folder: _identity(folder) for folder in writable}
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
        overrun = most_processes is not None and _overrun(control, most_processes)
        if overrun:
            _kill(pid)
        finished = control.recv(1)
        if not overrun:
            _kill(pid)
        if not finished:
            os._exit(0)
        try:
            with _rights_of(owner):
                for folder, identity in folders.items():
                    if _identity(folder) != identity:
                        os._exit(1)  # it was moved away, and something else put in its place
                    _clear(folder)
        except (OSError, RecursionError):
            os._exit(1)
        control.send(b".")


def _overrun(control: socket.socket, most_processes: int) -> bool:
    """Wait for the next byte; True as soon as there are more descendants than that."""
    while not select.select([control], [], [], _WATCH_S)[0]:
        if len(_descendants()) > most_processes:
            return True
    return False


def _kill(pid: int) -> None:
    """End a fork, its group, which it leads, and, on Linux, whatever came of it; ends this process where that fails.

    All are killed at once, and nobody is waited for while others live: a bomb that is ended one by one grows faster.
    """
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):  # it does not lead its group yet
            kill(pid, signal.SIGKILL)
    if _descendants() in ([pid], []):
        os.waitpid(pid, 0)
    deadline = time.monotonic() + _LAST_S
    with contextlib.suppress(ChildProcessError):  # nobody is left
        while True:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            _end_descendants()
            if time.monotonic() > deadline:
                os._exit(1)  # they multiply faster than this can end them
            time.sleep(_PAUSE_S)


def _come_first() -> None:
    """Run before whatever a bomb consists of, where this process may: among thousands it would hardly ever run.

    Forks do not inherit it.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _children(pid: int) -> list[int]:
    """The children of a process, those that it adopted among them; none where the kernel does not list them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as listed:
                found += map(int, listed.read().split())
    return found


def _descendants() -> list[int]:
    """Everything below this process, parents before their children; some may have ended meanwhile."""
    found = [os.getpid()]
    for pid in found:
        found += _children(pid)
    return found[1:]


def _end_descendants() -> None:
    """Kill all of them at once: a bomb that is killed generation by generation grows faster than it dies."""
    family = {os.getpid()}
    for pid in _descendants():
        family.add(pid)
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                # Its number may have gone to a stranger before the handle was taken, but then its parent is another.
                if _parent(pid) in family:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as facts:
        return int(facts.read().rpartition(")")[2].split()[1])


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _rights_of(user: int | None) -> Iterator[None]:
    """Linux: touch files as that user may. What a program left, links among it, is no way to files of root's."""
    libc = ctypes.CDLL(None)
    if user is not None:
        libc.setfsgid(user)
        libc.setfsuid(user)
    try:
        yield
    finally:
        if user is not None:
            libc.setfsuid(os.geteuid())
            libc.setfsgid(os.getegid())


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
