"""Ctrl-C, and two runs at once on one store."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.gate.conftest import is_held

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

LIMIT_S = 120
# What a falsifier does before it counts, where `{when}` holds: a control has 100 rows, the evidence fewer.
SLOW = """
    import fcntl, time
    from pathlib import Path

    if {when} and not Path("quick").exists():
        held = open("measuring.part", "w")
        fcntl.flock(held, fcntl.LOCK_EX)
        Path("measuring.part").rename("measuring")
        time.sleep(600)
    right ="""


def wait_for(repo: Repo, name: str, process: subprocess.Popen[str]) -> None:
    """Until that file exists; fails when the process ends first, or takes too long."""
    for _ in range(LIMIT_S * 10):
        if (repo.path / name).exists():
            return
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise AssertionError(f"no {name} after {LIMIT_S} s")


@pytest.mark.parametrize(
    ("when", "said"),
    [("len(rows) == 100", "interrupted: nothing was run"), ("len(rows) < 100", "interrupted: no verdict")],
    ids=["in a control", "in a measurement"],
)
def test_ctrl_c_ends_in_130_and_the_next_run_in_go(repo: Repo, when: str, said: str) -> None:
    """A signal to everything on the terminal while a falsifier works, on a control before the run or on the evidence:
    status 130, no verdict, nothing left running; run again, it comes to GO."""
    repo.edit("falsifiers/answers.py", "\n    right =", SLOW.format(when=when))
    process = repo.start("-P", "-m", "refute", "gate", "-p", "no:hypothesispytest")
    wait_for(repo, "measuring", process)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, out
    assert said in out
    assert repo.rulings() == []
    assert not is_held(repo.path / "measuring")
    repo.write("quick", "")
    assert repo.gate().returncode == 0
    assert repo.rulings() == ["GO"]


# A Ctrl-C at a falsifier's end, dropped as Python drops one in a finalizer or a callback of C code.
SWALLOWER = """\
import os, signal, time
from pathlib import Path

def sent_by_the_test():
    Path("here").touch()
    while not Path("sent").exists():
        time.sleep(0.01)

def pytest_runtest_logreport(report):
    try:
        {send}
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(
    ("command", "send"),
    [
        (("refute", "gate"), "os.killpg(0, signal.SIGINT)"),
        (("refute", "gate"), "sent_by_the_test()"),
        (("pytest", "--falsifiers"), "signal.raise_signal(signal.SIGINT)"),
    ],
    ids=["gate", "gate alone", "pytest"],
)
def test_a_ctrl_c_that_gets_lost_signs_nothing(repo: Repo, command: tuple[str, ...], send: str) -> None:
    """Swallowed on its way, all items pass: status 130 all the same, and no verdict."""
    repo.write("conftest.py", SWALLOWER.format(send=send))
    process = repo.start("-P", "-m", *command, "-p", "no:hypothesispytest")
    if "sent_by_the_test" in send:
        wait_for(repo, "here", process)
        os.kill(process.pid, signal.SIGINT)
        repo.write("sent", "")
    out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, repo.rulings()) == (130, []), out
    assert "no verdict" in out


def test_two_runs_at_once_share_a_store(repo: Repo) -> None:
    """Two gates started together on one folder both end in a signed GO, each in a run folder of its own."""
    command = ("-P", "-m", "pytest", "-p", "no:hypothesispytest", "--falsifiers")
    both = [repo.start(*command), repo.start(*command)]
    ended = [process.communicate(timeout=LIMIT_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert repo.rulings() == ["GO", "GO"]
