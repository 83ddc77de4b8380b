"""The seccomp filter of the sandbox: no sockets, no new processes, no signals or traces to others.

Preloaded into the worker: light imports only. The filter is a deny list, so that any Python build
runs under it; threads stay possible, since `clone` is allowed with CLONE_THREAD. `clone3` answers ENOSYS,
after which the C library falls back to `clone`, whose flags a filter can see. Numbers are from the kernel's
`unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64); the program follows seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import Any

_DENIED = {  # name: (x86_64, aarch64)
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "tkill": (200, 130), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "ptrace": (101, 117), "kcmp": (312, 272),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "fsopen": (430, 430), "fsmount": (432, 432),
    "open_tree": (428, 428), "move_mount": (429, 429), "mount_setattr": (442, 442),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "personality": (135, 92),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "fanotify_init": (300, 262), "mknod": (133, None), "mknodat": (259, 33),
    # memory or objects that no resource limit counts, or that would outlive the process
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip

# Allowed on the process itself only: the first argument is a process id.
_SELF_ONLY = {
    "kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip

_ZERO_IS_SELF = {"prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"}

# Requests that make the kernel signal another process, or type into its terminal.
_DENIED_REQUESTS = {
    "fcntl": ((72, 25), (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX
    "ioctl": ((16, 29), (0x8901, 0x8902, 0x5412)),  # FIOSETOWN, SIOCSPGRP, TIOCSTI
}

_CLONE, _CLONE3, _SENDTO = (56, 220), (435, 435), (44, 206)
_CLONE_THREAD = 0x10000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38

# Stands for a process that is yet to be; the kernel gives no id above 2^22.
_ANY_PID = 0x7FFFFFFF
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, operand
_REFUSE: _Step = (_RETURN, 0, 0, _ERRNO | _EPERM)
_PERMIT: _Step = (_RETURN, 0, 0, _ALLOW)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def build_filter(machine: str, pid: int) -> bytes:
    """The BPF program for a process `pid` on `x86_64` or `aarch64`. Raises OSError for other machines."""
    if machine not in _MACHINES:
        raise OSError(f"no system call table for {machine!r}; there is one for {', '.join(_MACHINES)}")
    column, audit_arch = _MACHINES[machine]
    steps: list[_Step] = [
        (_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit_arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL),
    ]  # fmt: skip
    for numbers in _DENIED.values():
        steps += _when(numbers[column], [_REFUSE])
    steps += _when(_CLONE3[column], [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])
    steps += _when(_CLONE[column], [_argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), _REFUSE, _PERMIT])
    # An address given to sendto: a datagram socketpair could otherwise reach any local socket.
    steps += _when(
        _SENDTO[column],
        [_argument(4), (_EQUAL, 0, 2, 0), _argument(4, high=True), (_EQUAL, 1, 0, 0), _REFUSE, _PERMIT],
    )
    for name, numbers in _SELF_ONLY.items():
        allowed = (pid, 0) if name in _ZERO_IS_SELF else (pid,)
        tests = [(_EQUAL, len(allowed) - i, 0, value) for i, value in enumerate(allowed)]
        steps += _when(numbers[column], [_argument(0), *tests, _REFUSE, _PERMIT])
    for numbers, requests in _DENIED_REQUESTS.values():
        tests = [(_EQUAL, len(requests) - i, 0, value) for i, value in enumerate(requests)]
        steps += _when(numbers[column], [_argument(1), *tests, _PERMIT, _REFUSE])
    steps.append(_PERMIT)
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _when(number: int | None, block: list[_Step]) -> list[_Step]:
    return [] if number is None else [(_EQUAL, 0, len(block), number), *block]


def _argument(index: int, *, high: bool = False) -> _Step:
    return (_LOAD, 0, 0, 16 + 8 * index + 4 * high)


class Filter:
    """The filter, made before a fork: there only the fork's own id is written into it, and the kernel given it."""

    def __init__(self, machine: str) -> None:
        """For `x86_64` or `aarch64`. Raises OSError for a machine without a table of system calls."""
        program = build_filter(machine, _ANY_PID)
        self._places = [at for at in range(4, len(program), 8) if program[at : at + 4] == struct.pack("=I", _ANY_PID)]
        self._program = ctypes.create_string_buffer(program, len(program))
        self._header = _Program(len(program) // 8, ctypes.cast(self._program, ctypes.c_void_p))

    def of(self, pid: int) -> bytes:
        """The program for the process `pid`: what `build_filter` would make."""
        for place in self._places:
            struct.pack_into("=I", self._program, place, pid)
        return self._program.raw

    def install(self) -> None:
        """Put this process, for good, under the filter. Raises OSError where the kernel has none."""
        self.of(os.getpid())
        for arguments in (
            (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(self._header), 0, 0),
        ):
            if prctl(*arguments) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"prctl({arguments[0]}): {os.strerror(number)}")


@cache
def prepared_filter() -> Filter:
    """The filter for this machine, made once a process. Raises as `Filter` does."""
    return Filter(os.uname().machine)


def prctl(option: int, *values: int) -> int:
    """prctl(2) of Linux: its result, below 0 with `ctypes.get_errno()` set where it is refused."""
    result: int = prepared_prctl()(option, *values)
    return result


@cache
def prepared_prctl() -> Any:
    """The C library's function, looked up once a process. Raises AttributeError on other systems."""
    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return function
