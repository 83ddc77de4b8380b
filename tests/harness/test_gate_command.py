"""`refute gate`: a success is a signed verdict, and never pytest's word alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.scaffold import scaffold

if TYPE_CHECKING:
    from tests.conftest import Cli

LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio")
LIE = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 0
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example with every answer wrong, as the working folder of a user's shell."""
    scaffold(tmp_path)
    wrong = '{"question": "1 + 1", "expected": 2, "answer": 3}\n' * 40
    (tmp_path / "evidence/answers.jsonl").write_text(wrong, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_a_signed_no_go_is_a_success_unless_strict(repo: Path, cli: Cli) -> None:
    """The command has done its work once NO-GO is signed (0), in the folder given; --strict ends as the verdict does
    (1), even where a conftest.py makes pytest itself end in 0."""
    assert cli("gate", "--refute-dir", "out", *LEAN).returncode == 0
    report = json.loads((repo / "out/runs/latest/report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "NO-GO"
    (repo / "conftest.py").write_text(LIE, encoding="utf-8")
    assert cli("gate", "--strict", "--refute-dir", "out", *LEAN).returncode == 1
    assert len(list(repo.glob("out/runs/2*/verdict.intoto.json"))) == 2


def test_ending_well_without_a_verdict_is_a_failure(repo: Path, cli: Cli) -> None:
    """A conftest.py that ends pytest in 0 before anything is judged: status 2 and a message, not success."""
    (repo / "conftest.py").write_text("import os\n\ndef pytest_runtestloop():\n    os._exit(0)\n", encoding="utf-8")
    ended = cli("gate", *LEAN)
    assert (ended.returncode, "no verdict was signed" in ended.stderr) == (2, True)


def test_what_stops_pytest_stops_the_command(repo: Path, cli: Cli) -> None:
    """pytest's own failures keep their status, --release is passed on, and an earlier run's verdict does not help."""
    earlier = repo / ".refute/runs/20200101T000000Z-000000"
    earlier.mkdir(parents=True)
    (earlier / "verdict.intoto.json").write_text("{}", encoding="utf-8")
    (repo / ".refute/runs/latest").symlink_to(earlier.name)
    assert cli("gate", "--release", "absent.yaml", *LEAN).returncode == 4
