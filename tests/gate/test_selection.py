"""Which falsifiers run: node ids, -k, -m, -x, -n, --collect-only. Less than all of them can never become GO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Honest, Repo

pytestmark = pytest.mark.exhaustive

FIRST = "specs/example.yaml::AC-EXAMPLE-001::F-EXAMPLE-001"
SECOND = "specs/example.yaml::AC-EXAMPLE-002::F-EXAMPLE-002"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [FIRST, SECOND]),
        ((".", "-n", "2"), [FIRST, SECOND]),
        (("-k", "answers-complete or AC-EXAMPLE-002"), [SECOND]),
        (("-m", "phase1", "specs"), [FIRST]),
    ],
)
def test_a_listing_names_what_would_run_and_writes_nothing(
    repo: Repo, arguments: tuple[str, ...], expected: list[str]
) -> None:
    """--collect-only prints the node ids of exactly the selected falsifiers, and the repository stays as it was."""
    repo.edit("specs/example.yaml", "severity: block\n    phase: 1\n    falsifiers:\n      - id: F-EXAMPLE-002",
              "severity: block\n    phase: 2\n    falsifiers:\n      - id: F-EXAMPLE-002")  # fmt: skip
    before = repo.files()
    ended = repo.gate("--collect-only", "-q", *arguments)
    assert ended.returncode == 0, ended.stdout
    assert [line for line in ended.stdout.splitlines() if "::" in line] == expected
    assert repo.files() == before


@pytest.mark.parametrize("option", ["--fixtures", "--cache-show"])
def test_what_pytest_only_shows_is_no_run(repo: Repo, option: str) -> None:
    """Nothing was tried, and so nothing is signed, and no folder of a run is made."""
    ended = repo.gate(option)
    assert (ended.returncode, list(repo.path.glob(".refute/runs/*"))) == (0, []), ended.stdout


def test_one_node_id_is_a_partial_run(repo: Repo) -> None:
    """A node id runs that falsifier alone: corroborated, recorded, and a signed NO-GO because the rest is missing."""
    ended = repo.gate(FIRST)
    (predicate,) = repo.predicates()
    assert ended.returncode == 1
    assert list(repo.records()) == ["F-EXAMPLE-001"]
    assert (str(predicate.verdict.ruling), predicate.verdict.partial) == ("NO-GO", True)
    assert any("partial" in reason for reason in predicate.verdict.reasons)
    coverage = predicate.coverage
    assert (coverage.recorded, coverage.deselected) == (1, ())
    assert coverage.not_collected == ("SPEC-EXAMPLE-001::AC-EXAMPLE-002::F-EXAMPLE-002",)


def test_what_was_left_out_is_told_from_what_went_missing(repo: Repo) -> None:
    """-k is a choice, and the verdict names it; falsifiers that nothing uses, and the packages of all, are listed."""
    repo.gate("-k", "F-EXAMPLE-001")
    (predicate,) = repo.predicates()
    coverage = predicate.coverage
    assert coverage.deselected == ("SPEC-EXAMPLE-001::AC-EXAMPLE-002::F-EXAMPLE-002",)
    assert (coverage.criteria, coverage.with_falsifier, coverage.falsifiers, coverage.not_collected) == (2, 2, 2, ())
    used = {record.uses for record in predicate.records}
    assert set(coverage.orphans) == set(predicate.run.falsifiers) - used - {"answers-complete"}
    packages = {origin.package for name, origin in predicate.run.falsifiers.items() if name in coverage.orphans}
    assert packages == {"refute"}
    assert [predicate.run.falsifiers[name].package for name in used] == [None]


def test_a_parallel_run_gives_the_same_records(repo: Repo, honest: Honest) -> None:
    """-n 2 comes to the same GO from the same records as one process does, with their properties in JUnit."""
    ended = repo.gate("-n", "2", "--junitxml", "junit.xml")
    assert ended.returncode == 0, ended.stdout
    assert repo.rulings() == ["GO"]
    assert repo.predicates()[0].records == honest.repo.predicates()[0].records
    assert (repo.path / "junit.xml").read_text(encoding="utf-8").count('<property name="outcome"') == 2


def test_x_stops_at_the_first_refutation(repo: Repo) -> None:
    """-x ends the run after the falsified criterion; what was not reached makes the NO-GO partial."""
    repo.fail()
    ended = repo.gate("-x")
    assert ended.returncode == 1
    assert [record["outcome"] for record in repo.records().values()] == ["falsified"]
    assert repo.predicates()[0].verdict.partial
    assert "AC-EXAMPLE-001 (block) falsified: accuracy = 0 %" in ended.stdout


@pytest.mark.parametrize("arguments", [("-k", "nothing"), ("tests",), ("-m", "phase9"), ("-k", "nothing", "-n", "2")])
def test_selecting_nothing_is_an_error(repo: Repo, arguments: tuple[str, ...]) -> None:
    """A gate with nothing to try ends in pytest's usage error (4) or `no tests` (5), and signs nothing."""
    repo.write("tests/test_ordinary.py", "def test_one():\n    pass\n")
    ended = repo.gate(*arguments)
    assert ended.returncode == (5 if "-n" in arguments else 4), ended.stdout
    assert "ERROR: " in ended.stdout or "no verdict" in ended.stdout
    assert repo.rulings() == []


def test_an_ordinary_test_that_fails_keeps_its_say(repo: Repo) -> None:
    """Tests named beside the specs run too: one that fails makes pytest end in 1, though the verdict is GO."""
    repo.write("tests/test_ordinary.py", "def test_one():\n    assert 1 == 2\n")
    ended = repo.gate("specs", "tests")
    assert repo.rulings() == ["GO"]
    assert ended.returncode == 1
