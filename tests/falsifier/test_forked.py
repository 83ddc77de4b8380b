"""Work in a child: its line comes back, or the reason why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.falsifier.forked import Reply, replies_of


def boom() -> str:
    """Raises."""
    raise RuntimeError("boom")


def leave() -> str:
    """Ends with status 0 and no answer."""
    os._exit(0)


def sleep() -> str:
    """Takes too long."""
    time.sleep(60)
    return "late"


def test_what_is_returned_comes_back_and_what_is_printed_is_logged(tmp_path: Path) -> None:
    """Text of any length; the parent's memory is not touched."""
    seen: list[str] = []

    def work() -> str:
        seen.append("in the child")
        sys.stdout.write("noise")
        return "\u00e9" * 200_000

    assert replies_of([work], 20.0, tmp_path / "log.txt")[0].line == "\u00e9" * 200_000 + "\n"
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "noise"
    assert seen == []


def test_a_slow_one_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Replies come in order, and works begin as others end: here the first waits for the third of two at a time."""
    done = tmp_path / "done"

    def first() -> str:
        while not done.exists():
            time.sleep(0.01)
        return "first"

    def third() -> str:
        done.touch()
        return "third"

    found = replies_of([first, lambda: "second", third], 60.0, tmp_path / "log.txt")
    assert [reply.line for reply in found] == ["first\n", "second\n", "third\n"]


@pytest.mark.parametrize(
    ("work", "reply"),
    [
        (boom, Reply(fault="its process ended with exit status 1 before it answered; see log.txt")),
        (leave, Reply(fault="its process ended with exit status 0 before it answered; see log.txt")),
        (sleep, Reply(fault="gave no answer within 0.2 s; see log.txt for where it was by then", timed_out=True)),
    ],
)
def test_no_answer_has_its_reason(tmp_path: Path, work: Callable[[], str], reply: Reply) -> None:
    """An exception, a silent end and a time limit are told apart; the traceback is in the log."""
    assert replies_of([work], 0.2 if reply.timed_out else 20.0, tmp_path / "log.txt") == [reply]
    assert ("boom" in (tmp_path / "log.txt").read_text(encoding="utf-8")) == (work is boom)


INTERRUPTED = """\
import os, signal, sys
from pathlib import Path
from refute.falsifier.forked import replies_of

parent = os.getpid()
def interrupt():
    os.kill(parent, signal.SIGINT)

# In the middle of the second fork: what is raised in such a hook, the interpreter swallows.
hooks = []
os.register_at_fork(before=lambda: hooks.append(1) or (interrupt() if len(hooks) == 2 else None))
def work():
    import time
    time.sleep(60)
try:
    replies_of([work, work], 60.0, Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_in_the_middle_of_a_fork_is_heeded(tmp_path: Path) -> None:
    """And both children are gone at once, long before their time is over."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "log.txt")],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")
    assert time.monotonic() - began < 40
