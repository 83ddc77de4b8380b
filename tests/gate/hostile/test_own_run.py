"""A gate judges the run that it started, whatever else happens in its folder, and takes no accident for a verdict."""

from __future__ import annotations

import site
import subprocess
import sys
import venv
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from refute.errors import GateError
from refute.gate.judging import JudgeOptions, judge_recorded
from refute.judge.run.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate.conftest import Ended, Repo

pytestmark = pytest.mark.exhaustive

LIMIT_S = 120
GOOD, BAD = "specs/releases/good.yaml", "specs/releases/bad.yaml"
ALL_WRONG = '{"question": "1 + 1", "expected": 2, "answer": 3}\n' * 40
GATE = ("-P", "-m", "refute", "gate", "-p", "no:hypothesispytest", "-p", "no:anyio")


@pytest.fixture
def two(repo: Repo) -> Repo:
    """A repository with two releases: of one every answer is right, of the other none."""
    text = (repo.path / "specs/releases/example.yaml").read_text(encoding="utf-8")
    (repo.path / "specs/releases/example.yaml").unlink()
    repo.write(GOOD, text.replace("release: example", "release: good"))
    repo.write(BAD, text.replace("release: example", "release: bad").replace("answers.jsonl", "wrong.jsonl"))
    repo.write("evidence/wrong.jsonl", ALL_WRONG)
    return repo


def gate(repo: Repo, *arguments: str) -> Ended:
    """`refute gate ARGUMENTS…`"""
    return repo.python(*GATE, *arguments)


def said(repo: Repo) -> set[tuple[str, str]]:
    """Release and ruling of every verdict that was signed."""
    return {(each.release.id, str(each.verdict.ruling)) for each in repo.predicates()}


def test_two_gates_in_one_folder_each_judge_their_own(two: Repo) -> None:
    """Started together, one on a good release and one on a bad one: GO and 0, NO-GO and 1, each about its own."""
    both: list[subprocess.Popen[str]] = [two.start(*GATE, "--release", name) for name in (GOOD, BAD)]
    ended = [process.communicate(timeout=LIMIT_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 1], ended
    assert said(two) == {("good", "GO"), ("bad", "NO-GO")}
    assert "release bad" in ended[1]


# name: what a conftest.py does at the end of the run of the bad release; a run of the good one lies beside it.
TRICKS = {
    "it repoints latest": """
        Path(".refute/runs/latest").unlink()
        Path(".refute/runs/latest").symlink_to(good.name)
        """,
    "it swaps run.json": "shutil.copy(good / 'run.json', own / 'run.json')\n",
    "it renames the run": """
        text = (good / "run.json").read_text().replace(good.name, own.name)
        (own / "run.json").write_text(text.replace('"started_at": "2', '"started_at": "3'))
        for name in ("records.jsonl", "evidence.jsonl"):
            shutil.copy(good / name, own / name)
        """,
    "it links the good run": """
        own.rename(own.with_name("aside"))
        own.symlink_to(good)
        """,
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_other_run_is_judged_in_its_place(two: Repo, trick: str) -> None:
    """Where the run is not the one that the gate began, it says so, ends in 7 and signs nothing; `latest` is nobody."""
    assert gate(two, "--release", GOOD).returncode == 0
    (good,) = two.path.glob(".refute/runs/2*")
    hook = """
        import shutil
        from pathlib import Path
        from refute.plugin import SESSION

        def pytest_unconfigure(config):
            own, good = config.stash[SESSION].run.path, Path(GOOD)
        """.replace("GOOD", repr(str(good)))
    body = "".join(f"    {line}\n" for line in dedent(TRICKS[trick]).strip().splitlines())
    two.write("conftest.py", dedent(hook).lstrip() + body)
    ended = gate(two, "--release", BAD)
    if trick == "it repoints latest":
        assert (ended.returncode, said(two)) == (1, {("good", "GO"), ("bad", "NO-GO")}), ended.stdout
    else:
        assert ended.returncode == 7, ended.stdout
        assert "is not the run that was asked for" in ended.stdout
        assert said(two) == {("good", "GO")}


def test_a_judge_that_dies_has_signed_nothing(repo: Repo) -> None:
    """Dependencies that only PYTHONPATH shows are none for an isolated process: the judge that pytest starts ends in 7,
    and never in a NO-GO's 1, and pytest says that nothing was signed; the gate ends in 7 before anything runs."""
    venv.create(repo.path / "bare")
    python = str(repo.path / "bare/bin/python")
    seen = [*site.getsitepackages(), *(entry for entry in sys.path if entry.endswith(("harness", "falsifiers")))]
    for command in (("-P", "-m", "pytest", "--falsifiers"), GATE):
        start = f"import os; os.execv({python!r}, {[python, *command]!r})"
        ended = repo.python("-c", start, env={"PYTHONPATH": ":".join(seen)})
        assert ended.returncode == (7 if command == GATE else 1), ended.stdout
        assert ("no verdict was signed: the judge ended with status 7" in ended.stdout) == (command != GATE)
        assert "refute cannot be loaded: No module named" in ended.stdout
    assert repo.rulings() == []


def test_a_user_without_a_home_is_told_of_refute_keys(repo: Repo) -> None:
    """Nothing runs where the key could not be found at the end; with REFUTE_KEYS it does."""
    lost = "import os, pwd; os.environ.pop('HOME'); os.environ.pop('REFUTE_KEYS'); pwd.getpwuid = {}.__getitem__\n"
    start = "import sys; sys.argv[1:] = ['gate']; from refute.cli.main import main; main()"
    ended = repo.python("-c", lost + start, env={"XDG_CONFIG_HOME": ""})
    assert (ended.returncode, "set REFUTE_KEYS to a folder" in ended.stdout) == (2, True), ended.stdout
    assert not (repo.path / ".refute").exists()


def test_a_folder_that_holds_a_run_is_not_taken_for_another(repo: Repo) -> None:
    """--refute-run names an empty folder; pointed at a finished run, pytest refuses and that run stays as it is."""
    assert repo.gate("--no-judge").returncode == 6
    before = {path.name: path.read_bytes() for path in repo.run.iterdir() if path.is_file()}
    ended = repo.gate("--refute-run", str(repo.run))
    assert (ended.returncode, "run.json: File exists" in ended.stdout) == (4, True), ended.stdout
    assert {path.name: path.read_bytes() for path in repo.run.iterdir() if path.is_file()} == before


def test_a_judge_that_dies_before_there_is_a_key_is_named_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause is that it said nothing; that no development key was made yet is only what follows from that."""
    monkeypatch.setenv("REFUTE_KEYS", str(tmp_path / "keys"))
    run = RunFolder.create(tmp_path / "runs")
    with pytest.raises(GateError) as caught:
        judge_recorded(run, JudgeOptions(tmp_path, None), lambda *_: 1)
    assert str(caught.value) == (
        "no verdict was signed: the judge ended with status 1; the judge ended without a word on a verdict"
    )
