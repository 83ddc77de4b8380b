"""A page of the largest release that it is made for: in one file that a mail can carry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.model import Predicate
from refute.report import REPORTS


@pytest.mark.slow
def test_twenty_criteria_and_four_models_fit_in_two_megabytes(predicate: Predicate, payload: str) -> None:
    """20 criteria of 3 falsifiers with 20 controls each, and 164 problems put to 4 models."""
    first = predicate.records[0]
    controls = tuple(replace(first.controls[index % 2], name=f"control {index}") for index in range(20))
    criteria, records = [], []
    for number in range(20):
        found = predicate.verdict.criteria[number % 10]
        ruling = replace(found, criterion=f"AC-{number}", falsifiers=found.falsifiers * 3)
        criteria.append(ruling)
        records += [replace(first, criterion=ruling.criterion, falsifier=each.falsifier, controls=controls)
                    for each in ruling.falsifiers]  # fmt: skip
    shown = predicate.exhibits
    grids = (*shown.grids, shown.grids[0].model_copy(update={"name": "control"}))
    exhibits = Exhibits(sections=shown.sections, curves=shown.curves, grids=grids, prompts=shown.prompts)
    verdict = replace(predicate.verdict, criteria=tuple(criteria))
    large = predicate.model_copy(update={"verdict": verdict, "records": tuple(records), "exhibits": exhibits})
    assert len(REPORTS["html"].render(large, payload).encode()) < 2_000_000
