"""Linux: nothing that code of the judged repository has started outlives the process that ran it.

A process whose parent ends is handed to the nearest ancestor that asks for it (prctl(2), PR_SET_CHILD_SUBREAPER),
whatever session or group it has made for itself. So it can be found there, and ended before anything is believed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refute.errors import GateError

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
# A process is gone some milliseconds after SIGKILL; a thousand of them are within this.
_PATIENCE_S = 10.0


@contextmanager
def ending_orphans() -> Iterator[None]:
    """What is started inside, at any depth, and still runs when it is left, is killed; children from before are not.

    Raises GateError where processes come faster than they can be killed. Does nothing elsewhere than on Linux.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before = _children()
    _adopt_orphans()
    try:
        yield
    finally:
        _kill_until_none_is_left(before)


def _adopt_orphans() -> None:
    zero = ctypes.c_ulong(0)
    if ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_CHILD_SUBREAPER), ctypes.c_ulong(1), zero, zero, zero) != 0:
        raise GateError(
            "this process cannot adopt what its children leave behind: prctl(PR_SET_CHILD_SUBREAPER) was refused",
            hint="allow prctl in the container or sandbox that this runs in",
        )


def _kill_until_none_is_left(before: frozenset[int]) -> None:
    """Each round kills the children there are; theirs are then ours."""
    deadline = time.monotonic() + _PATIENCE_S
    while orphans := _children() - before:
        if time.monotonic() > deadline:
            raise GateError(
                f"the run left {len(orphans)} processes behind that cannot be ended: {', '.join(map(str, orphans))}",
                hint="end them; a conftest.py, a plugin or a falsifier starts them, and nothing is signed beside them",
            )
        for pid in orphans:
            with suppress(ProcessLookupError, ChildProcessError, PermissionError):  # gone, or another user's
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> frozenset[int]:
    me = os.getpid()
    return frozenset(int(place.name) for place in Path("/proc").glob("[0-9]*") if _parent(place) == me)


def _parent(place: Path) -> int:
    """0 for a process that is gone."""
    try:
        # The name, in parentheses, may hold anything; state and parent follow it (proc(5)).
        after_name = (place / "stat").read_bytes().rpartition(b")")[2]
        return int(after_name.split()[1])
    except (OSError, IndexError):
        return 0
