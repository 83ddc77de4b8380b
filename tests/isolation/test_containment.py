"""Contained code: what the machine gives, tried on it; and what a machine without namespaces gives instead."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.isolation import containment
from refute.isolation.bubblewrap import bubblewrap_binaries
from refute.isolation.containment import Contained, Containment, View, contain

# What code of a repository tries, each attempt by name; those that work are printed.
ATTEMPTS = """\
import ctypes, json, os, pathlib, signal, socket, sys, time

place, gate, port, stranger = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def unix():
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(stranger)

def connect():
    socket.create_connection(("127.0.0.1", port), 5).close()

def leave():
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)

attempts = {
    "write what is writable": lambda: (place / "out/written").write_text("x"),
    "write what is fixed": lambda: (place / "specs/spec.yaml").write_text("x"),
    "replace what is fixed": lambda: (place / "specs").rename(place / "elsewhere"),
    "replace what is above it": lambda: place.rename(place.with_name("elsewhere")),
    "write to Python": lambda: (pathlib.Path(sys.prefix) / "written").touch(),
    "write to the home": lambda: (pathlib.Path.home() / "refute-was-here").touch(),
    "read a key": lambda: (place / "secret.key").read_text().index("s"),
    "see the gate": lambda: os.kill(gate, 0),
    "read its environment": lambda: pathlib.Path(f"/proc/{gate}/environ").read_bytes(),
    "trace it": lambda: ctypes.CDLL(None).ptrace(16, gate, 0, 0) and 1 // 0,
    "change the kernel": lambda: open("/proc/sys/kernel/core_pattern", "r+").close(),
    "open a disk": lambda: [open(each, "rb") for each in pathlib.Path("/dev").glob("[svx]d[a-z]")][0].close(),
    "reach a stranger's socket": unix,
    "reach a stranger's port": connect,
    "leave a process": leave,
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
        done.append(name)
    except (OSError, ValueError, ArithmeticError, IndexError):
        pass
print(json.dumps(done))
"""
ALLOWED = ["write what is writable", "leave a process"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with a folder for what is written, and a key that lies in it."""
    for folder in ("repo/out", "repo/specs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "repo/specs/spec.yaml").touch()
    (tmp_path / "repo/secret.key").write_text("secret", encoding="utf-8")
    return tmp_path / "repo"


@pytest.fixture
def contained(place: Path) -> Contained:
    """That repository's code as this machine contains it. Skipped where that is not at all."""
    found = contain(View((place,), (place / "specs",), (place / "secret.key",)))
    if found.tier is not Containment.OFFLINE:
        pytest.skip(f"this machine gives no namespaces: {found.reason}")
    return found


@pytest.fixture
def stranger() -> Iterator[tuple[int, str]]:
    """Somebody else's servers: a port, and a socket below /tmp that was there before."""
    name = f"/tmp/refute-test-{os.getpid()}"  # noqa: S108  # there, or it is not what contained code looks for
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        yield port.getsockname()[1], name
    Path(name).unlink()


@pytest.fixture
def gate() -> Iterator[int]:
    """The id of a process that no process in a new namespace has."""
    started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])]
    while started[-1].pid < 16:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
    yield started[-1].pid
    for each in started:
        each.kill()
        each.wait()


def attempt(wrapper: tuple[str, ...], place: Path, gate: int, stranger: tuple[int, str]) -> list[str]:
    """What of ATTEMPTS works behind `wrapper`."""
    port, unix = stranger
    command = [*wrapper, sys.executable, "-I", "-S", "-c", ATTEMPTS, str(place), str(gate), str(port), unix]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(json.loads(ended.stdout))


@pytest.mark.slow
def test_contained_code_reaches_what_it_is_let(
    stranger: tuple[int, str], place: Path, contained: Contained, gate: int
) -> None:
    """It writes where it may, and what it starts ends with it: standard output is closed, or `run` would wait."""
    again = contain(View((place,), (place / "specs",), (place / "secret.key",)))  # now that the socket is there
    assert attempt(again.wrapper, place, gate, stranger) == ALLOWED


def test_a_network_is_given_where_it_is_asked_for(contained: Contained, place: Path) -> None:
    """And then the tier says so."""
    assert "--unshare-net" in contained.wrapper
    asked = contain(View((place,), network=True))
    assert (asked.tier, "--unshare-net" in asked.wrapper) == (Containment.NAMESPACES, False)


def test_what_does_not_hold_is_not_promised(contained: Contained, place: Path) -> None:
    """A folder that cannot be hidden: the probe finds that it can be read, and the tier is the lower one."""
    found = contain(View((place,), hidden=(place / "specs",)))
    assert (found.wrapper, found.tier) == ((), Containment.REAPED)
    assert found.reason


@pytest.mark.slow
def test_a_machine_without_namespaces_says_so(contained: Contained, place: Path) -> None:
    """One in which the kernel refuses user namespaces, as many containers do."""
    (binary, *_) = bubblewrap_binaries()
    refusing = [binary, "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--proc", "/proc", "--"]
    code = "from refute.isolation.containment import *; print(*[contain(View(())).tier, contain(View(())).wrapper])"
    ended = subprocess.run([*refusing, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout == "reaped ()\n", ended.stderr


def test_tiers_are_ordered() -> None:
    """Each reaches itself and what is less, and nothing that is more."""
    tiers = list(Containment)
    assert tiers == [Containment.NONE, Containment.REAPED, Containment.NAMESPACES, Containment.OFFLINE]
    for number, tier in enumerate(tiers):
        assert [tier.reaches(least) for least in tiers] == [True] * (number + 1) + [False] * (3 - number)


def test_folders_of_others_may_vanish_while_they_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders come and go on a busy machine: one that is gone holds no socket, and stops no gate."""
    monkeypatch.setattr(containment, "_temporary", lambda: iter([tmp_path, tmp_path / "gone"]))
    (tmp_path / "file").touch()
    (tmp_path / "vanishing").mkdir()
    real = Path.iterdir

    def listed(folder: Path) -> Iterator[Path]:
        yield from real(folder)
        if folder == tmp_path and (tmp_path / "vanishing").exists():
            (tmp_path / "vanishing").rmdir()

    monkeypatch.setattr(Path, "iterdir", listed)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        assert list(containment._sockets()) == [tmp_path / "socket"]
