"""What the sandboxed process gives up before it sees a program: resources, privileges, files, system calls.

Preloaded into the worker: light imports only. Every step either holds or raises OSError, and a worker that
could not be confined never reads a program. Landlock alone is optional: kernels before 5.13 lack it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from functools import cache

from refute.engines.humaneval.sandbox.syscall_filter import prctl, prepared_filter, prepared_prctl

_MIB = 1024 * 1024

# One written file; a program that fills more than this is not solving a problem of this kind.
_FILE_BYTES = _MIB
_OPEN_FILES = 64
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

# linux/capability.h, version 3: of the process that asks, and three empty sets.
_CAPABILITY_HEADER, _NO_CAPABILITIES = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

# linux/landlock.h: file rights 0-12 in ABI 1, REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5.
_RIGHTS_ADDED = {1: 0x1FFF, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_READ = 1 << 2 | 1 << 3
_WRITE_FILE = 1 << 1
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def prepare(tier: str) -> None:
    """Make what `confine` needs before there is a fork: made in each, it cost 1.2 ms of the 10 that a program takes."""
    if sys.platform.startswith("linux"):
        prepared_prctl()
        _libc().capset  # noqa: B018 - looked up once
    if tier != "rlimits":
        with contextlib.suppress(OSError):  # the fork that needs it says why there is none
            prepared_filter()


def limit_resources(*, cpu_s: int, memory_mib: int, processes: int | None) -> None:
    """Set hard limits. Raises OSError, ValueError or OverflowError where one is refused.

    `processes` counts all of the user's, and threads as well on Linux; root it does not bound.
    """
    limits = {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform.startswith("linux"):
        limits[resource.RLIMIT_AS] = memory_mib * _MIB
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        effective = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (effective, effective))


def drop_privileges(uid: int | None) -> None:
    """Become `uid` where root asks for it, and give up every Linux capability. Raises OSError."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(_libc().capset(_CAPABILITY_HEADER, _NO_CAPABILITIES), "capset")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _check(prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent death signal")


def restrict_files(readable: list[str], writable: list[str]) -> bool:
    """Landlock: leave only reading below `readable` and anything below `writable`. False without Landlock."""
    libc = _libc()
    abi = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return False
    every_right = sum(right for version, right in _RIGHTS_ADDED.items() if version <= abi)
    handled = ctypes.c_uint64(every_right)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    _check(ruleset, "landlock ruleset")
    rules = [(path, _READ) for path in readable] + [(path, every_right) for path in writable]
    for path, rights in rules:
        _allow_below(ruleset, path, rights)
    for path in _DEVICES:
        _allow_below(ruleset, path, 1 << 2 | _WRITE_FILE)
    _check(libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)), "landlock")
    os.close(ruleset)
    return True


def _allow_below(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # what is not there needs no permission
    rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
    buffer = ctypes.create_string_buffer(rule, len(rule))
    _check(_libc().syscall(_LANDLOCK_ADD, ruleset, 1, buffer, ctypes.c_uint32(0)), f"landlock rule {path}")
    os.close(place)


def confine(
    *,
    tier: str,
    cpu_s: int,
    memory_mib: int,
    processes: int | None,
    uid: int | None,
    readable: list[str],
    writable: list[str],
) -> None:
    """Give up everything that the tier promises. Raises as its parts do if a promise cannot be kept."""
    linux = sys.platform.startswith("linux")
    if linux:
        _check(prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if tier == "seccomp":
        restrict_files(readable, writable)
    limit_resources(cpu_s=cpu_s, memory_mib=memory_mib, processes=processes)
    if linux:
        drop_privileges(uid)
        die_with_parent()
    if tier != "rlimits":
        prepared_filter().install()


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
