"""A repository that has folders and modules of the same names as this project and its libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key, key_id

if TYPE_CHECKING:
    from tests.gate.conftest import Ended, Repo

pytestmark = pytest.mark.exhaustive

BROKEN = "raise RuntimeError('a file of the repository was imported')\n"
SECOND_SPEC = """\
spec: SPEC-OWN-001
version: 1
title: A second spec, with the other file extension
criteria:
  - id: AC-OWN-001
    title: Nothing is missing
    statement: No question is left without an answer.
    severity: warn
    phase: 1
    falsifiers:
      - id: F-OWN-001
        uses: answers-complete
        thresholds: {missing: {holds_if: "== 0 answers"}}
"""


@pytest.fixture(scope="module")
def foreign(new_repo: Callable[[], Repo]) -> tuple[Repo, Ended]:
    """A gate run there, signed with a key of the user's own, called from the folder of the repository."""
    repo = new_repo()
    for name in ("falsifiers/__init__.py", "harness/__init__.py", "tests/conftest.py", "tests/test_own.py"):
        repo.write(name, "" if name.startswith("tests") else BROKEN)
    for name in ("yaml.py", "typer.py", "refute/__init__.py", "refute_falsifiers/__init__.py"):
        repo.write(name, BROKEN)
    repo.write("pytest.ini", "[pytest]\ntestpaths = tests\naddopts = --strict-markers\n")
    repo.write("specs/own.yml", SECOND_SPEC)
    repo.write("falsifiers/_helper.py", BROKEN)
    repo.write("falsifiers/test_answers.py", BROKEN)
    # A file may change the working folder while it is imported: relative options still mean what they meant.
    repo.edit("falsifiers/answers.py", "\n\n\n", "\n\nimport os\n\nos.chdir('/')\n\n\n")
    generate_key(repo.path / "private", "release")
    return repo, repo.gate("--signing-key", "private/release.key", "--refute-dir", "out", "--store", "kept")


def test_nothing_of_the_repository_is_imported_by_accident(foreign: tuple[Repo, Ended]) -> None:
    """Folders called harness, falsifiers or refute, and modules called like libraries, change nothing."""
    repo, ended = foreign
    assert ended.returncode == 0, ended.stdout
    assert (repo.path / "out/runs/latest/verdict.intoto.json").is_file()


def test_every_spec_runs_whatever_testpaths_says(foreign: tuple[Repo, Ended]) -> None:
    """A bare call runs all specs, .yml too, and not the tests that `testpaths` names."""
    _, ended = foreign
    assert "3 passed" in ended.stdout
    assert "3 corroborated" in ended.stdout


def test_the_given_key_signs(foreign: tuple[Repo, Ended]) -> None:
    """--signing-key signs with that key, and no development key is made."""
    repo, ended = foreign
    public = (repo.path / "private/release.pub").read_bytes()
    assert key_id((repo.path / "out/runs/latest/verifier.pem").read_bytes()) == key_id(public)
    assert "development key" not in ended.stdout
    assert not list(repo.keys.iterdir())


def test_the_folders_given_are_used(foreign: tuple[Repo, Ended]) -> None:
    """--refute-dir and --store are relative to where pytest was called, and nothing is written elsewhere."""
    repo, _ = foreign
    assert list((repo.path / "kept/objects").iterdir())
    assert not (repo.path / ".refute").exists()
    assert not (repo.path / "out/store").exists()
