"""Repositories of users: the scaffolded example, gated in processes of their own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refute.cli.commands.init import scaffold
from refute.judge.predicate.model import Predicate
from refute.judge.run.verdict_files import verdicts_in
from refute.verify.verification import verify_verdict

Ended = subprocess.CompletedProcess[str]
# Other plugins of this environment: nothing here needs them, and hypothesis alone doubles the time of a run.
LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio")
LIMIT_S = 120
PROBE = """\
import json, sys
from pathlib import Path

def pytest_unconfigure():
    Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
"""


def is_held(file: Path) -> bool:
    """Whether a process that locked `file` still runs; in a namespace of its own it has another id than here."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Repo:
    """A user's repository with the scaffolded example in it."""

    path: Path
    keys: Path

    def write(self, name: str, text: str) -> None:
        """Put a file there, folders included."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace one part of a file; it must be there."""
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def fail(self) -> None:
        """Make the example's first criterion false: every answer is wrong, none is missing."""
        self.write("evidence/answers.jsonl", '{"question": "1 + 1", "expected": 2, "answer": 3}\n' * 40)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a user: nothing of the pytest that runs these tests."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
        return {**kept, "REFUTE_KEYS": str(self.keys), **more}

    def start(self, *command: str, env: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """`python COMMAND…` in a session of its own, with what it prints in one stream."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.path,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def python(self, *command: str, env: Mapping[str, str] = {}) -> Ended:
        """`python COMMAND…`, waited for."""
        from tests.conftest import Ended

        process = self.start(*command, env=env)
        out, _ = process.communicate(timeout=LIMIT_S)
        return Ended(command, process.returncode, out)

    def gate(self, *arguments: str, env: Mapping[str, str] = {}) -> Ended:
        """`pytest --falsifiers ARGUMENTS…`"""
        return self.python("-P", "-m", "pytest", *LEAN, "--falsifiers", *arguments, env=env)

    @property
    def run(self) -> Path:
        """The folder of the newest run, judged or not."""
        return max(self.path.glob(".refute/runs/2*"))

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of the newest run by falsifier."""
        lines = (self.run / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return {record["falsifier"]: record for record in map(json.loads, lines)}

    def predicates(self) -> list[Predicate]:
        """Every verdict that was signed here, verified, oldest first."""
        found = [files for run in sorted(self.path.glob(".refute/runs/2*")) for files in verdicts_in(run)]
        return [verify_verdict(each.verdict.read_bytes(), [each.key.read_bytes()]).predicate for each in found]

    def rulings(self) -> list[str]:
        """The words of those verdicts."""
        return [str(predicate.verdict.ruling) for predicate in self.predicates()]

    def is_alive(self, name: str) -> bool:
        """Whether the process whose id is in a file there still runs (a zombie does not)."""
        stat = Path("/proc") / (self.path / name).read_text(encoding="utf-8") / "stat"
        return stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"

    def files(self) -> dict[str, bytes]:
        """Every file below, by name."""
        found = sorted(path for path in self.path.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def new_repo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Repo]:
    """Makes repositories for fixtures that outlive a test."""

    def make() -> Repo:
        repo = Repo(tmp_path_factory.mktemp("repo"), tmp_path_factory.mktemp("keys"))
        scaffold(repo.path)
        return repo

    return make


@pytest.fixture
def repo(tmp_path: Path, key_folder: Path) -> Repo:
    """A fresh repository: `refute init` and nothing else."""
    scaffold(tmp_path / "repo")
    return Repo(tmp_path / "repo", key_folder)


@dataclass(frozen=True, slots=True)
class Honest:
    """What a newcomer's first `pytest --falsifiers` left behind."""

    repo: Repo
    ended: Ended


@pytest.fixture(scope="session")
def honest(new_repo: Callable[[], Repo]) -> Honest:
    """One honest run, shared: look, do not touch."""
    repo = new_repo()
    repo.write("conftest.py", PROBE)
    return Honest(repo, repo.python("-P", "-m", "pytest", "--falsifiers", "--junitxml", "junit.xml"))


@pytest.fixture
def finished(honest: Honest, tmp_path: Path) -> Repo:
    """A copy of the honest run to tamper with, at a place of its own, not judged yet."""
    copy = Repo(tmp_path / "copy", honest.repo.keys)
    shutil.copytree(honest.repo.path, copy.path, symlinks=True)
    for name in ("run.json", "evidence.jsonl"):
        path = copy.run / name
        text = path.read_text(encoding="utf-8").replace(str(honest.repo.path), str(copy.path))
        path.write_text(text, encoding="utf-8")
    (copy.run / "verdict.intoto.json").unlink()
    return copy
