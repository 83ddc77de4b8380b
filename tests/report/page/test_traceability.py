"""The matrix in a report: every criterion with its falsifiers, kinds of controls and contracts, from signed facts."""

from __future__ import annotations

import json

from refute.falsifier.origins import FalsifierOrigin
from refute.judge.predicate.model import Predicate
from refute.report import REPORTS
from refute.report.view import view_of

CONTRACTS = ("C-KD-LOSS", "C-VOCABULARY")


def linked(predicate: Predicate) -> Predicate:
    """The predicate of a run that says which contracts cover the smoke run's falsifier."""
    origin = FalsifierOrigin(
        code_sha256="0" * 64, needs=("student",), controls=(), package=None, version=None, contracts=CONTRACTS
    )
    return predicate.model_copy(
        update={"run": predicate.run.model_copy(update={"falsifiers": {"distill-smoke-001": origin}})}
    )


def test_every_criterion_is_traced_in_the_order_of_the_specification(predicate: Predicate) -> None:
    """Also those that hold, that did not run, and that nothing attacks."""
    traced = [row.ruling.criterion for row in view_of(predicate, "0" * 64).traced]
    assert traced == [ruling.criterion for ruling in predicate.verdict.criteria]
    assert traced != [row.ruling.criterion for row in view_of(predicate, "0" * 64).rows]


def test_kinds_of_controls_are_counted(predicate: Predicate) -> None:
    """By what they had to be, not by what they were: one of these misbehaved."""
    findings = {f.ruling.falsifier: f for row in view_of(predicate, "0" * 64).rows for f in row.findings}
    assert findings["F-DISTILL-TEACHER-001"].controls_by_kind == "1 good, 1 bad"
    assert findings["F-DISTILL-PUBLISH-001"].controls_by_kind == ""


def test_contracts_stand_beside_the_falsifier_that_they_cover(predicate: Predicate) -> None:
    """In HTML and JSON; the others have none."""
    signed = linked(predicate)
    page = REPORTS["html"].render(signed, "0" * 64).split('id="traceability"')[1].split("</section>")[0]
    assert page.count("<td>C-KD-LOSS, C-VOCABULARY</td>") == 1
    assert page.count("<tr>") == len(predicate.verdict.criteria) + 1
    criteria = json.loads(REPORTS["json"].render(signed, "0" * 64))["criteria"]
    found = {each["id"]: each["contracts"] for criterion in criteria for each in criterion["falsifiers"]}
    assert {name: ids for name, ids in found.items() if ids} == {"F-DISTILL-SMOKE-001": list(CONTRACTS)}
