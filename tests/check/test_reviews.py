"""Reviews: what changes a claim makes its falsifiers suspects, what does not leaves them alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.check.reviews import REVIEWS, fingerprint, read_reviews, review, suspects
from refute.errors import SpecError, UsageError
from refute.spec.criteria import Spec, parse_spec

if TYPE_CHECKING:
    from tests.conftest import Cli

TEXT = """\
spec: SPEC-A-001
version: 1
title: Answers
criteria:
  - id: AC-A-001
    title: Right
    statement: Most answers are right.
    source: a book
    severity: block
    phase: 1
    falsifiers:
      - {id: F-A-001, uses: answers, with: {k: 3}, thresholds: {share: {holds_if: ">= 80 %"}}}
      - {id: F-A-002, uses: answers, title: Again, timeout_s: 9, thresholds: {share: {holds_if: ">= 1e1 %"}}}
"""


def parsed(old: str = "", new: str = "") -> Spec:
    """The spec, with one part replaced."""
    assert old in TEXT
    return parse_spec(TEXT.replace(old, new, 1), "spec.yaml")


def named(found: Spec, path: Path) -> list[str]:
    """The codes and ids of what is wrong."""
    reviews = read_reviews(path)
    assert reviews is not None
    return [f"{each.message.split(']')[0][1:]} {each.key}" for each in suspects([found], reviews, path)]


@pytest.fixture
def reviewed(tmp_path: Path) -> Path:
    """Reviews of everything, as it reads in TEXT."""
    review(tmp_path / REVIEWS, [parsed()], (), "Ann")
    return tmp_path / REVIEWS


@pytest.mark.parametrize(
    ("old", "new", "ids"),
    [
        ("Most answers", "All answers", ["F-A-001", "F-A-002"]),
        ("severity: block", "severity: warn", ["F-A-001", "F-A-002"]),
        ("    phase: 1\n", "    phase: 1\n    requires_run_class: full\n", ["F-A-001", "F-A-002"]),
        ("    phase: 1\n", "    phase: 1\n    not_applicable_when: {run_class: quick}\n", ["F-A-001", "F-A-002"]),
        (">= 80 %", ">= 79 %", ["F-A-001"]),
        (">= 80 %", "> 80 %", ["F-A-001"]),
        ('">= 80 %"', '">= 80 %", inconclusive_if: "< 1 %"', ["F-A-001"]),
        (
            '">= 80 %"',
            '">= 80 %", sequential: {error_rate: 0.4, spending: pocock, problems: 9, looks: [9]}',
            ["F-A-001"],
        ),
        ("k: 3", "k: 4", ["F-A-001"]),
        ("uses: answers, with", "uses: others, with", ["F-A-001"]),
        ("title: Again", "title: Again, requires_run_class: full", ["F-A-002"]),
        ("id: AC-A-001", "id: AC-A-009", ["F-A-001", "F-A-002"]),
    ],
)
def test_what_changes_the_claim_makes_suspects(reviewed: Path, old: str, new: str, ids: list[str]) -> None:
    """Each normative field counts, a bar for its own falsifier alone."""
    assert named(parsed(old, new), reviewed) == [f"trace/suspect {name}" for name in ids]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("title: Right", "title: Correct"),
        ("a book", "two books"),
        ("1e1 %", "10.0 %"),
        ("phase: 1", "phase: 2"),
        ("timeout_s: 9", "timeout_s: 90"),
        ("title: Again, ", ""),
        ("version: 1", "version: 2"),
    ],
)
def test_what_does_not_change_the_claim_leaves_reviews_alone(reviewed: Path, old: str, new: str) -> None:
    """Titles, sources, phases, time limits and the spelling of a number are no part of what must be true."""
    assert named(parsed(old, new), reviewed) == []


def test_a_new_falsifier_is_unreviewed_and_one_that_is_gone_is_unknown(reviewed: Path) -> None:
    """Renaming one gives both."""
    assert named(parsed("F-A-002", "F-A-003"), reviewed) == ["trace/unreviewed F-A-003", "trace/unknown-id F-A-002"]


def test_a_review_renews_what_is_named_and_nothing_else(reviewed: Path) -> None:
    """Of two suspects one is renewed; the other's entry, and its reviewer, stay; then nothing is left to change."""
    changed = parsed("Most answers", "All answers")
    assert review(reviewed, [changed], ("F-A-002",), "Bob") == ("F-A-002",)
    assert named(changed, reviewed) == ["trace/suspect F-A-001"]
    rows = json.loads(reviewed.read_text(encoding="utf-8"))["reviews"]
    assert {name: row["by"] for name, row in rows.items()} == {"F-A-001": "Ann", "F-A-002": "Bob"}
    assert review(reviewed, [changed], (), "Cid") == ("F-A-001",)
    assert review(reviewed, [changed], (), "Cid") == ()
    assert review(reviewed, [parsed("F-A-002", "F-A-003")], (), "Cid") == ("F-A-001", "F-A-002", "F-A-003")


def test_an_id_that_no_spec_uses_is_refused(reviewed: Path) -> None:
    """Nothing is written for a misspelt id."""
    before = reviewed.read_bytes()
    with pytest.raises(UsageError, match="no spec uses F-A-007") as caught:
        review(reviewed, [parsed()], ("F-A-007",), "Bob")
    assert "F-A-001, F-A-002" in caught.value.hint
    assert reviewed.read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reviews": {"F-A-001": {}}}', '{"reviews": {}, "more": 1}'])
def test_a_file_that_holds_no_reviews_is_a_problem(tmp_path: Path, text: str) -> None:
    """A damaged file is told, and never counts as reviewed or as not there."""
    (tmp_path / REVIEWS).write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"trace/reviews"):
        read_reviews(tmp_path / REVIEWS)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """In the place of reviews.json."""
    os.mkfifo(tmp_path / REVIEWS)
    with pytest.raises(UsageError, match="it is a pipe"):
        read_reviews(tmp_path / REVIEWS)


def test_fingerprints_tell_falsifiers_of_one_criterion_apart() -> None:
    """Two uses of one falsifier have two fingerprints, each the same at every reading."""
    (criterion,) = parsed().criteria
    one, two = (fingerprint(criterion, use) for use in criterion.falsifiers)
    assert one != two
    (again,) = parsed().criteria
    assert one == fingerprint(again, again.falsifiers[0])


@pytest.mark.slow
def test_the_command_reviews_what_is_named_or_all(cli: Cli, tmp_path: Path) -> None:
    """`refute review` writes reviews.json beside the specs; naming nothing, or all and something, is refused."""
    (tmp_path / "spec.yaml").write_text(TEXT, encoding="utf-8")
    assert cli("review", "--specs", tmp_path).returncode == 2
    assert cli("review", "F-A-001", "--all", "--specs", tmp_path).returncode == 2
    ended = cli("review", "F-A-001", "--by", "Ann", "--specs", tmp_path, "--json")
    assert json.loads(ended.stdout) == {"changed": ["F-A-001"]}
    assert "F-A-002\n1 changed" in cli("review", "--all", "--by", "Bob", "--specs", tmp_path).stdout
    assert named(parsed(), tmp_path / REVIEWS) == []
