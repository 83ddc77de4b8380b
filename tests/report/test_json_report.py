"""report.json must hold the predicate's own numbers and texts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from refute.judge.predicate.model import Predicate
from refute.outcome import Measurement
from refute.report import REPORTS


@pytest.fixture(scope="module")
def document(predicate: Predicate, payload: str) -> dict[str, Any]:
    """The sample, parsed."""
    parsed: dict[str, Any] = json.loads(REPORTS["json"].render(predicate, payload))
    return parsed


def test_json_states_verdict_and_counts(document: dict[str, Any], payload: str) -> None:
    """Verdict, digest and the number of criteria by outcome are top-level facts."""
    assert (document["schema_version"], document["verdict"]) == (1, "NO-GO")
    assert document["payload_sha256"] == payload
    counts = {name: amount for name, amount in document["counts"].items() if amount}
    assert counts == {"falsified": 4, "error": 2, "not_run": 1, "inconclusive": 1, "corroborated": 2}
    assert document["controls"] == {"behaved": 17, "total": 18}


def test_json_keeps_every_digit_of_every_measurement(document: dict[str, Any], predicate: Predicate) -> None:
    """Values are equal to the predicate's, not rounded for reading."""
    written = [
        (each["id"], item["name"], item["value"], item["unit"], item["n"])
        for row in document["criteria"]
        for each in row["falsifiers"]
        for item in each["measurements"]
    ]
    recorded = [
        (record.falsifier, item.name, item.value, item.unit, item.n)
        for record in predicate.records
        for item in record.measurements
    ]
    assert sorted(written) == sorted(recorded)


def test_json_keeps_the_recorded_text(document: dict[str, Any], hostile: str) -> None:
    """A program gets the reason as it was recorded, without an escape of ours."""
    rows = {row["id"]: row for row in document["criteria"]}
    assert rows["AC-DISTILL-009"]["falsifiers"][0]["reason"].endswith(hostile)


def test_json_is_harmless_as_text(predicate: Predicate, payload: str) -> None:
    """The raw file is ASCII without control characters or `<`, has sorted keys, and ends in a newline."""
    text = REPORTS["json"].render(predicate, payload)
    assert text.isascii()
    assert set(text) & {"<", "\x1b"} == set()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_json_refuses_a_number_that_is_not_finite(predicate: Predicate, payload: str) -> None:
    """NaN is not JSON: rather no report than one that other parsers read differently."""
    measured = Measurement("max_abs_diff", float("nan"), "logit", 1)
    record = replace(predicate.records[0], measurements=(measured,))
    broken = predicate.model_copy(update={"records": (record,)})
    with pytest.raises(ValueError, match="JSON compliant"):
        REPORTS["json"].render(broken, payload)
