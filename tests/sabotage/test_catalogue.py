"""Every recorded failure of our domain, repeated on the real engines, ends in NO-GO by the falsifier that is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from refute.evidence.laboratory import Laboratory
from refute.judge.algebra import judge
from refute.outcome import Outcome, Record, Ruling
from sabotage.catalogue import load_catalogue
from sabotage.document import render
from sabotage.line import Line, is_refusal

ROOT = Path(__file__).parents[2]
CATALOGUE = load_catalogue()
SABOTAGES = {sabotage.name: sabotage for _, sabotage in CATALOGUE.sabotages()}
RECORDED = [f"seed-{number:02}" for number in range(1, 49)]


# ------------------------------------------------------------------------------------------------ it is complete


def test_every_recorded_failure_is_listed_once() -> None:
    """The 48 of the system being replaced, and no id twice."""
    ids = [failure.id for failure in CATALOGUE.failures]
    assert [each for each in ids if each.startswith("seed-")] == RECORDED
    assert len(set(ids)) == len(ids)


def test_no_two_sabotages_are_one() -> None:
    """A name is patch, place and falsifier: two alike would hide one of them."""
    assert len(SABOTAGES) == len(CATALOGUE.sabotages())


def test_every_patch_is_in_the_catalogue() -> None:
    """And says what it does; one that nobody lists is tried by nobody. `right` is the one that is none."""
    listed = {sabotage.patch for sabotage in SABOTAGES.values()}
    for path in sorted((ROOT / "tests/assets/sabotage").glob("*.py")):
        if path.stem not in (
            "training",
            "midrun",
            "precision",
            "quiet",
            "released",
            "loss",
            "teachers",
            "corpora",
            "answers",
        ):
            continue
        functions = [
            node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
        ]
        for function in functions:
            if not function.name.startswith("_") and function.name != "right":
                assert f"{path.stem}.{function.name}" in listed
                assert ast.get_docstring(function)


def test_every_test_that_is_named_exists() -> None:
    """A failure that a test of the gate holds is held by one that is there."""
    for test in sorted({test for failure in CATALOGUE.failures for test in failure.tests}):
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_document_is_that_of_the_catalogue() -> None:
    """docs/catalogue.md is generated: python -m sabotage.document, with tests/assets on the path."""
    assert (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8") == render(CATALOGUE)


# ------------------------------------------------------------------------------------------------ nothing is sabotaged


@pytest.mark.exhaustive
def test_the_small_world_is_go(line: Line, untouched: Mapping[str, Record]) -> None:
    """Under the shipped specification: what refutes a sabotage does not refute everything."""
    open_ones = {
        name: record.reason for name, record in untouched.items() if record.outcome is not Outcome.CORROBORATED
    }
    assert set(open_ones) == {"F-DISTILL-CUDA-STUDENT-001"}, open_ones
    verdict = judge(line.spec, list(untouched.values()), release=line.release.release)
    assert verdict.ruling is Ruling.GO


@pytest.mark.exhaustive
def test_another_loss_that_is_right_is_not_refuted(line: Line, untouched: Mapping[str, Record]) -> None:
    """The dense loss that sabotages of the loss are made of, with nothing wrong in it."""
    sabotage = next(each for each in SABOTAGES.values() if each.patch == "loss.temperature_ignored").model_copy(
        update={"patch": "loss.right"}
    )
    laboratory = line.under(sabotage).laboratory(sabotage)
    watching = [name for name, (_, use) in line.uses().items() if (use.uses or "").startswith("kd-")]
    found = {name: line.record(name, laboratory).outcome for name in watching}
    assert set(found.values()) == {Outcome.CORROBORATED}, found


# ------------------------------------------------------------------------------------------------ everything is


@pytest.mark.exhaustive
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_sabotage_ends_in_no_go_by_the_falsifier_named(
    sabotage: str, line: Line, untouched: Mapping[str, Record], laboratories: Mapping[str, Laboratory]
) -> None:
    """The falsifier let the real line stand and refuses this one for the stated reason; the judge says NO-GO."""
    done = SABOTAGES[sabotage]
    assert untouched[done.falsifier].outcome is Outcome.CORROBORATED
    under = line.under(done)
    record = under.record(done.falsifier, laboratories[sabotage])
    assert is_refusal(record.outcome), record.reason
    assert done.because in record.reason
    records = [record if each.falsifier == done.falsifier else each for each in untouched.values()]
    verdict = judge(under.spec, records, release=under.release.release)
    assert verdict.ruling is Ruling.NO_GO
