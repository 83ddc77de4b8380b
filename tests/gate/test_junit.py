"""JUnit XML of a gate: what failed, what broke and what was skipped are three things, with and without workers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

SKIPPED = """
  - id: AC-EXAMPLE-003
    title: It answers
    statement: No question is left without an answer.
    severity: warn
    phase: 2
    falsifiers:
      - {id: F-EXAMPLE-003, uses: answers-complete, thresholds: {missing: {holds_if: "== 0 answers"}}}
"""
CONFTEST = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "003" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="not today"))
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_error_failure_and_skip_are_told_apart(repo: Repo, workers: tuple[str, ...]) -> None:
    """A falsified criterion is a failure with its reason, a falsifier that raised an error, a skipped one skipped; the
    first two carry their properties, evidence digests included."""
    spec = (repo.path / "specs/example.yaml").read_text(encoding="utf-8")
    repo.write("specs/example.yaml", spec + SKIPPED)
    repo.write("conftest.py", CONFTEST)
    repo.edit(
        "falsifiers/answers.py",
        'yield Measurement("missing"',
        'raise OSError("lost\\x1b[2J\\n::error::x")\n    yield Measurement("missing"',
    )
    repo.fail()
    ended = repo.gate("--junitxml", "junit.xml", *workers)
    assert (ended.returncode, repo.rulings()) == (1, ["NO-GO"]), ended.stdout
    cases = ElementTree.parse(repo.path / "junit.xml").getroot().iter("testcase")  # noqa: S314  # our own run's
    found = {}
    for case in cases:
        (end,) = [child for child in case if child.tag != "properties"]
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        found[str(case.get("name"))] = (end.tag, end.get("message"), properties)
    assert {name: tag for name, (tag, _, _) in found.items()} == {
        "F-EXAMPLE-001": "failure",
        "F-EXAMPLE-002": "error",
        "F-EXAMPLE-003": "skipped",
    }
    assert "accuracy = 0 %" in str(found["F-EXAMPLE-001"][1])
    told = str(found["F-EXAMPLE-002"][1])
    assert "falsifiers/answers.py:" in told
    assert "OSError: lost" in told
    assert told.endswith('; see falsifiers.log"')
    for name, outcome in (("F-EXAMPLE-001", "falsified"), ("F-EXAMPLE-002", "error")):
        properties = found[name][2]
        assert (properties["outcome"], properties["severity"], properties["phase"]) == (outcome, "block", "1")
        assert properties["verifies"] == properties["criterion"] == name.replace("F-", "AC-")
        assert str(properties["evidence"]).startswith("answers sha256:")
    assert "pytest.fail(" not in ended.stdout, "a traceback through our own code says nothing"
    assert "\x1b[2J" not in ended.stdout
    assert not any(line.lstrip().startswith("::error") for line in ended.stdout.splitlines())
    assert "1 failed" in ended.stdout
    assert "1 error" in ended.stdout
