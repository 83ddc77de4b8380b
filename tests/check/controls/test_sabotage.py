"""Sabotages of engines, from a package outside the product: survivors first, and no row is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from refute.check.controls.sabotage import EngineFate, engine_matrix
from refute.cli.commands.init import scaffold
from refute.errors import UsageError

Cli = Callable[..., CompletedProcess[str]]
KILLED = EngineFate(
    sabotage="loss.reversed", failure="kd-01", named="F-A", killed_by=("F-A", "F-B"), let_stand=("F-C",), untried=()
)
SURVIVED = KILLED.model_copy(update={"sabotage": "loss.subtle", "failure": "kd-02", "killed_by": ()})


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """package(row, …) -> a package whose matrix prints these rows; `end` is what it does afterwards."""

    def write(*rows: EngineFate | str, end: str = "") -> Path:
        lines = [(row if isinstance(row, str) else row.model_dump_json()) + "\n" for row in rows]
        folder = tmp_path / "sabotages"
        folder.mkdir()
        (folder / "__init__.py").write_text("", encoding="utf-8")
        text = f"import sys\nfrom sabotages import rows\n\nsys.stdout.writelines(rows.ROWS)\n{end}\n"
        (folder / "matrix.py").write_text(text, encoding="utf-8")
        (folder / "rows.py").write_text(f"ROWS = {lines!r}\n", encoding="utf-8")
        return folder

    return write


Package = Callable[..., Path]


def test_what_nothing_kills_comes_first(package: Package) -> None:
    """Whatever the order of the rows; the score is the share of killed ones."""
    matrix = engine_matrix(package(KILLED, SURVIVED))
    assert matrix.fates == (SURVIVED, KILLED)
    found = matrix.as_json()
    assert (found["score"], found["sabotages"], found["survived"]) == (50.0, 2, 1)


@pytest.mark.parametrize(
    ("rows", "end", "message"),
    [
        ((), "", "sabotages nothing"),
        (("{}",), "", "wrote a row that is none"),
        ((KILLED.model_dump_json()[:-1] + ', "more": 1}',), "", "wrote a row that is none"),
        ((KILLED,), "raise SystemExit(3)", "ended with status 3"),
        ((KILLED,), "raise ValueError", "ended with status 1"),
    ],
)
def test_a_matrix_that_is_none_is_refused(package: Package, rows: tuple[str, ...], end: str, message: str) -> None:
    """No rows, other rows, and a run that did not reach its end."""
    with pytest.raises(UsageError, match=message):
        engine_matrix(package(*rows, end=end))


def test_a_folder_without_a_matrix_is_refused(tmp_path: Path) -> None:
    """With what is missing."""
    with pytest.raises(UsageError, match=r"it has no matrix\.py"):
        engine_matrix(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The scaffolded example."""
    scaffold(tmp_path / "repo")
    return tmp_path / "repo"


ONE = ("--only", "answers-complete")


def mutate(cli: Cli, *more: object) -> CompletedProcess[str]:
    """`refute controls --mutate` in the folder of the example."""
    return cli("controls", "--mutate", *more)


@pytest.mark.slow
def test_the_command_shows_both_matrices(
    cli: Cli, repo: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side by side in JSON; for people, with what survived before what was killed. A survivor fails the command."""
    monkeypatch.chdir(repo)
    folder = package(KILLED, SURVIVED)
    ended = mutate(cli, *ONE, "--sabotages", folder, "--json")
    told = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert [row["sabotage"] for row in told["engines"]["fates"]] == ["loss.subtle", "loss.reversed"]
    assert told["mutants"] == len(told["fates"])
    lines = mutate(cli, *ONE, "--sabotages", folder).stdout.splitlines()
    assert [line.split()[:3] for line in lines if "loss." in line] == [
        ["SURVIVED", "kd-02", "loss.subtle"],
        ["killed", "kd-01", "loss.reversed"],
    ]
    assert lines[-1] == "1 of 2 sabotages of the engines killed: score 50.0 %"


@pytest.mark.slow
def test_where_there_are_no_sabotages_the_command_says_so(
    cli: Cli, repo: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed product has none; a checkout's are found by themselves, and not where falsifiers only are asked."""
    monkeypatch.chdir(repo)
    assert mutate(cli).stdout.splitlines()[-1].startswith("engines not sabotaged: no --sabotages")
    (repo / "tests" / "assets").mkdir(parents=True)
    package(KILLED).rename(repo / "tests" / "assets" / "sabotage")
    for name in ("matrix.py", "rows.py"):
        path = repo / "tests" / "assets" / "sabotage" / name
        path.write_text(path.read_text(encoding="utf-8").replace("from sabotages", "from sabotage"), encoding="utf-8")
    assert json.loads(mutate(cli, "--json").stdout)["engines"]["sabotages"] == 1
    for option in ((*ONE, "--sabotages", "x", "--no-sabotages"), ONE, ("--spec", "specs/example.yaml", *ONE)):
        assert json.loads(mutate(cli, "--json", *option).stdout)["engines"] is None
