"""Ctrl-C, and two runs at once on one store."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

LIMIT_S = 120
# What a falsifier does before it counts, where `{when}` holds: a control has 100 rows, the evidence fewer.
SLOW = """
    import os, time
    from pathlib import Path

    if {when} and not Path("quick").exists():
        Path("measuring.part").write_text(str(os.getpid()))
        Path("measuring.part").rename("measuring.pid")
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
    wait_for(repo, "measuring.pid", process)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, out
    assert said in out
    assert repo.rulings() == []
    assert not repo.is_alive("measuring.pid")
    repo.write("quick", "")
    assert repo.gate().returncode == 0
    assert repo.rulings() == ["GO"]


# A Ctrl-C at a falsifier's end, dropped as Python drops one in a finalizer or a callback of C code.
SWALLOWER = """\
import os, signal

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
        (("refute", "gate"), "os.kill(os.getppid(), signal.SIGINT)"),
        (("pytest", "--falsifiers"), "signal.raise_signal(signal.SIGINT)"),
    ],
    ids=["gate", "gate alone", "pytest"],
)
def test_a_ctrl_c_that_gets_lost_signs_nothing(repo: Repo, command: tuple[str, ...], send: str) -> None:
    """Swallowed on its way, all items pass: status 130 all the same, and no verdict."""
    repo.write("conftest.py", SWALLOWER.format(send=send))
    ended = repo.python("-P", "-m", *command, "-p", "no:hypothesispytest")
    assert (ended.returncode, repo.rulings()) == (130, []), ended.stdout
    assert "no verdict" in ended.stdout


def test_two_runs_at_once_share_a_store(repo: Repo) -> None:
    """Two gates started together on one folder both end in a signed GO, each in a run folder of its own."""
    command = ("-P", "-m", "pytest", "-p", "no:hypothesispytest", "--falsifiers")
    both = [repo.start(*command), repo.start(*command)]
    ended = [process.communicate(timeout=LIMIT_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert repo.rulings() == ["GO", "GO"]
