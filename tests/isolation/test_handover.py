"""A command is handed over to an isolated process; nobody reads on the way what was handed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refute.isolation.handover import hand_over, isolate

SECRET = "open sesame"  # noqa: S105  # of no key


@pytest.mark.slow
def test_what_is_handed_over_stands_nowhere_else() -> None:
    """Arguments and passphrase arrive, and are neither in the command nor in the environment that it starts with, which
    has nothing either that brings code into a process; nor can it be changed on the way."""
    hostile = {"PYTHONPATH": "/nowhere", "LD_PRELOAD": "/nowhere.so", "REFUTE_KEY_PASSPHRASE": SECRET}
    handed = hand_over(["judge", "--key", "/secret/place", "--no-such-option"], {**os.environ, **hostile})
    assert not [word for word in handed.command if "/secret/place" in word or SECRET in word]
    assert handed.environment.keys().isdisjoint(hostile)
    with pytest.raises(PermissionError):
        os.write(handed.descriptor, b"another command")
    done = subprocess.run(
        handed.command,
        env=handed.environment,
        pass_fds=(handed.descriptor,),
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(handed.descriptor)
    assert (done.returncode, "No such option: --no-such-option" in done.stderr) == (2, True), done.stderr
    assert "Usage: refute judge " in done.stderr


@pytest.mark.slow
def test_no_hook_outlives_the_start_of_a_command_that_holds_a_key(tmp_path: Path) -> None:
    """A sitecustomize on PYTHONPATH waits for the end of the interpreter that it was loaded in; a command that holds no
    key reaches that end, and every other has replaced its process by then."""
    hook = "import atexit\natexit.register(print, 'hooked')\n"
    (tmp_path / "sitecustomize.py").write_text(hook, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    hooked = set()
    for name in ("export", "publish", "report"):
        command = [sys.executable, "-m", "refute", name, "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert f"Usage: refute {name} " in done.stdout
        hooked |= {name} if "hooked" in done.stdout else set()
    assert hooked == {"report"}


def test_a_process_that_is_not_refutes_own_is_left_as_it_is() -> None:
    """Such as this one: a library call must not replace its caller."""
    for arguments in (["gate"], ["judge", "latest"], ["verify"], []):
        assert isolate(list(arguments)) == arguments
    assert sys.argv[0] != "refute"
