"""`refute check --matrix`: a row for every falsifier of every criterion, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from refute.check.matrix import matrix_of
from refute.cli.commands.init import scaffold

ROOT = Path(__file__).parents[2]
Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The scaffolded example, with a falsifier that is only planned."""
    scaffold(tmp_path)
    path = tmp_path / "specs" / "example.yaml"
    text = path.read_text(encoding="utf-8").rstrip() + "\n      - {id: F-EXAMPLE-009, planned: later}\n"
    path.write_text(text, encoding="utf-8")
    return tmp_path


def test_every_falsifier_of_every_criterion_has_a_row(repo: Path) -> None:
    """With what it reads and the controls that it declares; one that is planned has neither."""
    rows = matrix_of([repo / "specs"], [repo / "falsifiers"], [])
    assert [(row.criterion, row.falsifier) for row in rows] == [
        ("AC-EXAMPLE-001", "F-EXAMPLE-001"),
        ("AC-EXAMPLE-002", "F-EXAMPLE-002"),
        ("AC-EXAMPLE-002", "F-EXAMPLE-009"),
    ]
    assert rows[0].evidence == ("answers",)
    assert {expected for _, expected in rows[0].controls} >= {"corroborated", "falsified"}
    assert (rows[2].uses, rows[2].evidence, rows[2].controls, rows[2].contracts) == ("", (), (), ())


@pytest.mark.slow
def test_contracts_are_linked_through_the_releases_of_the_folder() -> None:
    """The shipped specs, with the experiment on the gate itself and the one that a sequential test adds."""
    rows = {row.falsifier: row for row in matrix_of([ROOT / "specs"], [ROOT / "falsifiers"], [ROOT / "contracts"])}
    assert "C-KD-LOSS" in rows["F-DISTILL-KDSTEP-001"].contracts
    assert "C-VERDICT" in rows["F-GATE-KILL-001"].contracts
    assert "C-SANDBOX" in rows["F-HUMANEVAL-SCREEN-001"].contracts


@pytest.mark.slow
def test_the_command_adds_the_matrix_where_it_is_asked_for(cli: Cli, repo: Path) -> None:
    """As JSON beside the findings, and as lines before them; without the option there is none."""
    arguments = ["check", repo / "specs", "--falsifiers", repo / "falsifiers", "--contract-folder", repo]
    assert "matrix" not in json.loads(cli(*arguments, "--json").stdout)
    told = json.loads(cli(*arguments, "--json", "--matrix").stdout)
    assert [row["falsifier"] for row in told["matrix"]] == ["F-EXAMPLE-001", "F-EXAMPLE-002", "F-EXAMPLE-009"]
    assert {"name", "expected"} == set(told["matrix"][0]["controls"][0])
    lines = cli(*arguments, "--matrix").stdout.splitlines()
    assert lines[0].split()[:2] == ["AC-EXAMPLE-001", "F-EXAMPLE-001"]
    assert "no problems" in lines[-1]
