"""What else fails in a pytest run keeps its status beside a GO: no verdict speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

BROKEN = "raise ValueError('broken module')\n"
BAR = "def pytest_sessionfinish(session):\n    session.exitstatus = 9\n"
# Counted the way coverage plugins do: as one failure more, of no test.
COUNTED = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    result = yield
    session.testsfailed += 1
    return result
"""
# name: (files, arguments, status)
CASES: dict[str, tuple[dict[str, str], tuple[str, ...], int]] = {
    "a plugin's bar": ({"conftest.py": BAR}, (), 9),
    "a plugin that counts": ({"conftest.py": COUNTED}, (), 1),
    "a broken module": ({"tests/test_own.py": BROKEN}, ("specs", "tests", "--continue-on-collection-errors"), 1),
    "a broken module under xdist": ({"tests/test_own.py": BROKEN}, ("specs", "tests", "-n", "2"), 1),
    "a failed test": ({"tests/test_own.py": "def test_it():\n    assert False\n"}, ("specs", "tests"), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_it_keeps_its_status_beside_a_go(repo: Repo, name: str) -> None:
    """The release is GO, and says so; pytest ends in what it ended in for the rest."""
    files, arguments, status = CASES[name]
    for file, text in files.items():
        repo.write(file, text)
    ended = repo.gate(*arguments)
    assert (ended.returncode, repo.rulings()) == (status, ["GO"]), ended.stdout


def test_the_gate_fails_with_it(repo: Repo) -> None:
    """`refute gate` ends in 1 although it signed GO, with --exit-zero too, and says why."""
    repo.write("tests/test_own.py", "def test_it():\n    assert False\n")
    command = ("-P", "-m", "refute", "gate", "--exit-zero", "-p", "no:hypothesispytest", "specs", "tests")
    ended = repo.python(*command)
    assert (ended.returncode, repo.rulings()) == (1, ["GO"]), ended.stdout
    assert "something else than a falsifier failed" in ended.stdout


def test_a_collection_error_is_no_ctrl_c(repo: Repo) -> None:
    """It ends the run without a verdict, in pytest's own status for that, 2."""
    repo.write("tests/test_own.py", BROKEN)
    ended = repo.gate("specs", "tests")
    assert (ended.returncode, repo.rulings()) == (2, []), ended.stdout
    assert "no verdict: the run was broken off: 1 error during collection" in ended.stdout
