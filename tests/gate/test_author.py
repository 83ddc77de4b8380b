"""What the author of a falsifier meets: helpers under every way of starting, the cause of a number that changes."""

from __future__ import annotations

import subprocess
from typing import Protocol

import pytest

pytestmark = pytest.mark.exhaustive


class Repo(Protocol):
    """What is used of the repository in tests/gate/conftest.py."""

    def write(self, name: str, text: str) -> None: ...
    def edit(self, name: str, old: str, new: str) -> None: ...
    def python(self, *command: str) -> subprocess.CompletedProcess[str]: ...
    def gate(self, *arguments: str) -> subprocess.CompletedProcess[str]: ...
    def rulings(self) -> list[str]: ...


COUNT = 'right = sum(row["answer"] == row["expected"] for row in rows)'


@pytest.fixture
def sharing(repo: Repo) -> Repo:
    """A repository whose falsifier counts by a helper, imported when it is called, and finds no other `_counts`."""
    repo.write("_counts.py", "raise RuntimeError('of the working folder')\n")
    repo.write(
        "falsifiers/_counts.py", "def right_of(rows):\n    return sum(r['answer'] == r['expected'] for r in rows)\n"
    )
    repo.edit("falsifiers/answers.py", COUNT, "from _counts import right_of\n    right = right_of(rows)")
    return repo


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_helpers_are_found_by_pytest_its_workers_and_the_judge(sharing: Repo, workers: tuple[str, ...]) -> None:
    """GO: the judge, too, measured with the helper of this folder."""
    ended = sharing.gate(*workers)
    assert (ended.returncode, sharing.rulings()) == (0, ["GO"]), ended.stdout
    again = sharing.python("-P", "-m", "refute", "try", "answer-accuracy", "--run", "latest")
    assert (again.returncode, "F-EXAMPLE-001: evidence, is corroborated: behaved" in again.stdout) == (0, True)


@pytest.mark.parametrize("command", ["gate", "check", "controls", "try answer-accuracy"])
def test_helpers_are_found_by_every_command(sharing: Repo, command: str) -> None:
    """In processes of their own, started in the repository."""
    ended = sharing.python("-P", "-m", "refute", *command.split())
    assert ended.returncode == 0, ended.stdout


def test_a_falsifier_without_a_seed_is_told_so(repo: Repo) -> None:
    """The number is another one each time it is measured, and the verdict names the commonest cause."""
    repo.edit("falsifiers/answers.py", "100 * right / len(rows)", "100 * right / len(rows) - random.random() / 100")
    repo.edit("falsifiers/answers.py", "from collections", "import random\nfrom collections")
    ended = repo.gate()
    assert repo.rulings() == ["NO-GO"], ended.stdout
    told = " ".join(ended.stdout.split())
    assert "accuracy measured again gave" in told
    assert "does the falsifier use random numbers without a seed?" in told
