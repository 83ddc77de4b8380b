"""What a run leaves running is found and ended, whatever session it has made for itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refute.errors import GateError
from refute.isolation import orphans
from refute.isolation.orphans import ending_orphans

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux hands orphans to an ancestor")

# Forks twice, detaches itself each time, and says who is left; that one ignores what it can.
DAEMON = """\
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        os.close(1)
        os.close(2)
        time.sleep(600)
    os._exit(0)
os.wait()
"""
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def leave_a_daemon() -> int:
    """The process that a child has left behind, having ended itself."""
    return int(subprocess.run([sys.executable, "-c", DAEMON], check=True, capture_output=True, text=True).stdout)


def is_there(pid: int) -> bool:
    """Whether there is such a process, be it a zombie."""
    return Path(f"/proc/{pid}").exists()


def test_a_daemon_is_ended() -> None:
    """It is nobody's child any more, of no group and no session that anybody knows."""
    with ending_orphans():
        daemon = leave_a_daemon()
        assert is_there(daemon)
    assert not is_there(daemon)


def test_an_accident_inside_changes_nothing() -> None:
    """It passes on, and the daemon does not stay."""
    left: list[int] = []

    def fail() -> None:
        with ending_orphans():
            left.append(leave_a_daemon())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not is_there(left[0])


def test_who_was_there_before_stays() -> None:
    """It is not the run's."""
    before = subprocess.Popen(SLEEPER)
    try:
        with ending_orphans():
            started = subprocess.Popen(SLEEPER)
        assert started.wait() is not None
        assert before.poll() is None
    finally:
        before.kill()
        before.wait()


def test_processes_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not waited for for ever, and nothing goes on beside them."""
    monkeypatch.setattr(orphans, "_PATIENCE_S", -1.0)
    left: list[int] = []

    def leave() -> None:
        with ending_orphans():
            left.append(leave_a_daemon())

    with pytest.raises(GateError, match="left 1 processes behind"):
        leave()
    os.kill(left[0], signal.SIGKILL)
    os.waitpid(left[0], 0)
