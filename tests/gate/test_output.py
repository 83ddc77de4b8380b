"""What a gate prints, and whether anybody can read it, has no part in its verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.gate.conftest import LEAN, LIMIT_S

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive
GATE = ("refute", "gate", *LEAN)
PYTEST = ("pytest", "--falsifiers", *LEAN)


def judged(repo: Repo, command: tuple[str, ...], stdout: int, **settings: str) -> tuple[int, list[str]]:
    """The status of `python -m COMMAND` with that standard output and error, and what was signed."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", *command],
        cwd=repo.path,
        env=repo.environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        check=False,
    )
    return ended.returncode, repo.rulings()


@pytest.mark.parametrize("command", [GATE, PYTEST], ids=["refute", "pytest"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_console_with_few_characters(repo: Repo, command: tuple[str, ...], encoding: str) -> None:
    """Progress has an ellipsis in it, which once ended the experiment."""
    assert judged(repo, command, subprocess.DEVNULL, PYTHONIOENCODING=encoding, COLUMNS="20") == (0, ["GO"])


@pytest.mark.parametrize("command", [GATE, PYTEST], ids=["refute", "pytest"])
def test_a_reader_that_went_away(repo: Repo, command: tuple[str, ...]) -> None:
    """As under `2>&1 | head -1`, at its worst: nobody reads from the start."""
    reading, writing = os.pipe()
    os.close(reading)
    assert judged(repo, command, writing) == (0, ["GO"])
    os.close(writing)


@pytest.mark.parametrize("command", [GATE, PYTEST], ids=["refute", "pytest"])
def test_a_full_disk_behind_standard_output(repo: Repo, command: tuple[str, ...]) -> None:
    """The log of a CI job that no longer fits."""
    full = os.open("/dev/full", os.O_WRONLY)
    assert judged(repo, command, full) == (0, ["GO"])
    os.close(full)


@pytest.mark.parametrize("command", [GATE, PYTEST], ids=["refute", "pytest"])
def test_closed_streams(repo: Repo, command: tuple[str, ...]) -> None:
    """As under `>&-`: no file of the run takes a descriptor, and verdict and status are what they always are."""
    closed = "<&- >&-"
    ended = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -P -m {' '.join(command)} {closed}"],
        cwd=repo.path,
        env=repo.environment(),
        timeout=LIMIT_S,
        check=False,
    )
    assert (ended.returncode, repo.rulings()) == (0, ["GO"])
