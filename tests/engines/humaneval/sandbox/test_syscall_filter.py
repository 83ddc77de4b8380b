"""The seccomp program means the same on both machines; a small interpreter stands in for the kernel's."""

from __future__ import annotations

import struct

import pytest

from refute.engines.humaneval.sandbox.syscall_filter import Filter, build_filter

PID = 4321
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {"write": 1, "socket": 41, "socketpair": 53, "clone": 56, "clone3": 435, "kill": 62, "tgkill": 234,
               "sendto": 44, "fcntl": 72, "execve": 59, "ptrace": 101, "prlimit64": 302, "exit_group": 231},
    "aarch64": {"write": 64, "socket": 198, "socketpair": 199, "clone": 220, "clone3": 435, "kill": 129,
                "tgkill": 131, "sendto": 206, "fcntl": 25, "execve": 221, "ptrace": 117, "prlimit64": 261,
                "exit_group": 94},
}  # fmt: skip
CASES: list[tuple[str, tuple[int, ...], int]] = [
    ("write", (), ALLOW), ("exit_group", (), ALLOW), ("socketpair", (1,), ALLOW), ("socket", (2,), EPERM),
    ("socket", (1,), EPERM), ("execve", (), EPERM), ("ptrace", (), EPERM), ("clone3", (), ENOSYS),
    ("clone", (0x11,), EPERM), ("clone", (0x3D0F00,), ALLOW), ("kill", (PID,), ALLOW), ("kill", (1,), EPERM),
    ("kill", (0xFFFFFFFF,), EPERM), ("kill", (0,), EPERM), ("tgkill", (PID, 9), ALLOW), ("tgkill", (9, PID), EPERM),
    ("sendto", (3, 0, 0, 0, 0), ALLOW), ("sendto", (3, 0, 0, 0, 7), EPERM), ("sendto", (3, 0, 0, 0, 7 << 32), EPERM),
    ("fcntl", (0, 3), ALLOW), ("fcntl", (0, 8), EPERM), ("fcntl", (0, 15), EPERM), ("prlimit64", (0,), ALLOW),
    ("prlimit64", (PID,), ALLOW), ("prlimit64", (PID + 1,), EPERM),
]  # fmt: skip


def evaluate(program: bytes, number: int, arch: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would return for one system call (the subset of classic BPF that filters use)."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: accumulator & operand}
            at += if_true if holds[code] else if_false
        at += 1


@pytest.mark.parametrize("machine", sorted(NUMBERS))
@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_each_call_gets_its_answer(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    """Threads and calls on oneself pass; sockets, processes, signals and traces to others do not."""
    program = build_filter(machine, PID)
    assert evaluate(program, NUMBERS[machine][name], ARCH[machine], arguments) == expected


def test_other_calling_conventions_are_fatal() -> None:
    """A 32-bit or x32 call, whose numbers mean something else, ends the process."""
    program = build_filter("x86_64", PID)
    assert evaluate(program, 1, 0x40000003, ()) == KILL
    assert evaluate(program, 0x40000001, ARCH["x86_64"], ()) == KILL


@pytest.mark.parametrize("machine", sorted(NUMBERS))
def test_a_filter_made_ahead_is_that_of_the_process_that_installs_it(machine: str) -> None:
    """Made for nobody yet, it names each process in turn, and no other."""
    prepared = Filter(machine)
    for pid in (PID, 1, 4_194_304, PID):
        assert prepared.of(pid) == build_filter(machine, pid)


def test_an_unknown_machine_is_an_error() -> None:
    """Without a table there is no filter, rather than an empty one."""
    with pytest.raises(OSError, match="no system call table for 'riscv64'"):
        build_filter("riscv64", PID)
