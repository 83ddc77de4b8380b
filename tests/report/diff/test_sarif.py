"""SARIF logs: valid by the OASIS schema, deterministic, and within what GitHub accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker

from refute.judge.predicate.model import Predicate
from refute.judge.verdict import FalsifierRuling
from refute.outcome import Outcome
from refute.report.diff import render_sarif
from refute.report.sarif import MOST_BYTES, MOST_RESULTS
from refute.spec.waiver import Waiver

MakePredicate = Callable[..., Predicate]
Json = dict[str, Any]
SCHEMA = Path(__file__).parents[2] / "assets/sarif-schema-2.1.0.json"
PAYLOAD = "1" * 64


@pytest.fixture(scope="session")
def validator() -> Draft7Validator:
    """Of the official schema, formats included."""
    return Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=FormatChecker())


@pytest.fixture
def sarif(validator: Draft7Validator) -> Callable[..., Json]:
    """sarif(predicate, baseline=…): the one run of a log that is valid."""

    def render(predicate: Predicate, **options: Any) -> Json:
        log = json.loads(render_sarif(predicate, PAYLOAD, **options))
        assert [error.message for error in validator.iter_errors(log)] == []
        (run,) = log["runs"]
        assert all(run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"] for each in run["results"])
        return dict(run)

    return render


def results(run: Json) -> dict[str, Json]:
    """The results by rule."""
    return {each["ruleId"]: each for each in run["results"]}


def test_the_schema_tells_wrong_from_right(validator: Draft7Validator) -> None:
    """The schema that the other tests rely on refuses an unknown kind, an unknown key and a missing tool."""
    runs: list[Json] = [{"results": []}, {"tool": {"driver": {"name": "x"}}, "verdict": "GO"}]
    assert not any(validator.is_valid({"version": "2.1.0", "runs": [run]}) for run in runs)
    result = {"message": {"text": "x"}, "kind": "splendid"}
    assert not validator.is_valid(
        {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [result]}]}
    )


def test_a_go(make_predicate: MakePredicate, sarif: Callable[..., Json]) -> None:
    """One rule a falsifier with its severity as level; results pass without a level; the execution was successful."""
    run = sarif(make_predicate())
    levels = {rule["id"]: rule["defaultConfiguration"]["level"] for rule in run["tool"]["driver"]["rules"]}
    assert levels == {"F-RIGHT": "error", "F-FAST": "warning", "F-STEADY": "warning", "F-SIZE": "note"}
    assert {(each["kind"], each["level"]) for each in run["results"]} == {("pass", "none")}
    assert run["invocations"][0]["executionSuccessful"] is True
    assert run["properties"]["verdict"] == "GO"
    assert (run["properties"]["payloadSha256"], "baselineState" in run["results"][0]) == (PAYLOAD, False)


def test_a_failure_says_where_and_what(make_predicate: MakePredicate, sarif: Callable[..., Json]) -> None:
    """A falsified criterion fails at its severity, at its line of the specification, with its measurements."""
    found = results(sarif(make_predicate(values={"accuracy": 20.0}), root=Path("/repo")))["F-RIGHT"]
    assert (found["kind"], found["level"]) == ("fail", "error")
    assert "accuracy = 20 % [19, 21] misses >= 80 % by 60 %" in found["message"]["text"]
    place = found["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("specs/a.yaml", 5)
    assert found["properties"]["measurements"][0]["value"] == 20.0
    elsewhere = results(sarif(make_predicate(), root=Path("/other")))["F-RIGHT"]
    assert elsewhere["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///repo/specs/a.yaml"


@pytest.mark.parametrize(
    ("outcome", "kind", "successful"),
    [
        (Outcome.INCONCLUSIVE, "open", True),
        (Outcome.NOT_RUN, "review", True),
        (Outcome.SKIPPED, "review", True),
        (Outcome.ERROR, "review", False),
        (Outcome.TIMEOUT, "review", False),
        (Outcome.NOT_APPLICABLE, "notApplicable", True),
        (Outcome.FALSIFIED, "fail", True),
    ],
)
def test_kinds(
    make_predicate: MakePredicate, sarif: Callable[..., Json], outcome: Outcome, kind: str, successful: bool
) -> None:
    """Each outcome has its kind; only a failure has a level; what could not be measured makes the execution fail."""
    predicate = make_predicate()
    first, *rest = predicate.verdict.criteria
    ruling = replace(first, outcome=outcome, falsifiers=(FalsifierRuling("F-RIGHT", outcome, "because"),))
    verdict = replace(predicate.verdict, criteria=(ruling, *rest))
    run = sarif(predicate.model_copy(update={"verdict": verdict}))
    found = results(run)["F-RIGHT"]
    assert (found["kind"], found["level"]) == (kind, "error" if kind == "fail" else "none")
    invocation = run["invocations"][0]
    assert (invocation["executionSuccessful"], bool(invocation["toolExecutionNotifications"])) == (
        successful,
        not successful,
    )


def test_what_is_uncovered_or_missing_is_not_left_out(
    make_predicate: MakePredicate, sarif: Callable[..., Json], spec_text: str
) -> None:
    """A criterion without a falsifier is a result of its own; a partial run is no successful execution."""
    uses = """falsifiers:
      - {id: F-SIZE, uses: size, thresholds: {rows: {holds_if: ">= 20 rows"}}}"""
    bare = spec_text.replace(uses, "falsifiers: []")
    found = results(sarif(make_predicate(spec=bare)))["AC-SIZE"]
    assert (found["kind"], found["properties"]["outcome"]) == ("review", "uncovered")
    run = sarif(make_predicate(values={"speed": None}))
    assert results(run)["F-FAST"]["kind"] == "review"
    assert run["invocations"][0]["executionSuccessful"] is False


def test_waivers_are_suppressions(
    make_predicate: MakePredicate, sarif: Callable[..., Json], make_waiver: Callable[..., Waiver]
) -> None:
    """What the judge applied is accepted and stands alone; another subject's waits for review, an expired one is
    rejected; what holds needs none. Who, until when and why are in the justification."""
    other = make_waiver("AC-RIGHT", subject="6" * 64)
    cases = [
        ([make_waiver("AC-RIGHT"), other], ["accepted"]),
        ([other], ["underReview"]),
        ([make_waiver("AC-RIGHT", expires_at="2026-01-01T00:00:00Z")], ["rejected"]),
        ([make_waiver("AC-FAST")], None),
    ]
    for waivers, states in cases:
        run = results(sarif(make_predicate(values={"accuracy": 20.0}, waivers=waivers)))
        found = run["F-RIGHT"].get("suppressions")
        assert (None if found is None else [each["status"] for each in found]) == states
        assert "suppressions" not in run["F-FAST"]
        assert found is None or found[0]["justification"].startswith("Ann, until 2026-")


def test_baseline_states(make_predicate: MakePredicate, sarif: Callable[..., Json], spec_text: str) -> None:
    """Against an older verdict every result is new, unchanged, updated or absent."""
    shorter = spec_text[: spec_text.index("  - id: AC-SIZE")]
    run = sarif(make_predicate(values={"accuracy": 20.0}, spec=shorter), baseline=make_predicate())
    states = {name: each["baselineState"] for name, each in results(run).items()}
    assert states == {"F-RIGHT": "updated", "F-FAST": "unchanged", "F-STEADY": "unchanged", "F-SIZE": "absent"}
    back = sarif(make_predicate(), baseline=make_predicate(spec=shorter))
    assert results(back)["F-SIZE"]["baselineState"] == "new"
    assert all(each["locations"] for each in run["results"])


def test_it_is_deterministic_and_ascii(make_predicate: MakePredicate) -> None:
    """The same predicate gives the same bytes, also after a round through JSON."""
    predicate = make_predicate(values={"accuracy": 20.0})
    again = Predicate.model_validate_json(predicate.model_dump_json())
    text = render_sarif(predicate, PAYLOAD, baseline=again)
    assert render_sarif(again, PAYLOAD, baseline=predicate) == text
    assert text.isascii()


def test_hostile_text_is_no_link_and_no_placeholder(make_predicate: MakePredicate, sarif: Callable[..., Json]) -> None:
    """What a falsifier says cannot become a link or take an argument's place in a viewer, nor hide characters."""
    predicate = make_predicate()
    first, *rest = predicate.verdict.criteria
    ruling = FalsifierRuling("F-RIGHT", Outcome.FALSIFIED, "[click](javascript:x) {0} \x1b[31m \u202e")
    verdict = replace(predicate.verdict, criteria=(replace(first, falsifiers=(ruling,)), *rest))
    text = results(sarif(predicate.model_copy(update={"verdict": verdict})))["F-RIGHT"]["message"]["text"]
    assert "[click] (javascript:x) {{0}} \\x1b[31m \\u202e" in text


@pytest.mark.slow
def test_github_limits_hold_and_the_worst_is_kept(make_predicate: MakePredicate, sarif: Callable[..., Json]) -> None:
    """30,000 falsifiers with long reasons: at most 25,000 results and 10 MB, failures first, and it says what is
    missing."""
    predicate = make_predicate()
    (first, *_), reason = predicate.verdict.criteria, "\U0001f600" * 60
    rulings = tuple(
        FalsifierRuling(f"F-{n:05d}", Outcome.FALSIFIED if n == 29_999 else Outcome.CORROBORATED, reason)
        for n in range(30_000)
    )
    verdict = replace(predicate.verdict, criteria=(replace(first, falsifiers=rulings),))
    large = predicate.model_copy(update={"verdict": verdict})
    text = render_sarif(large, PAYLOAD)
    (run,) = json.loads(text)["runs"]
    assert len(text.encode()) <= MOST_BYTES
    assert 1 <= len(run["results"]) <= MOST_RESULTS
    assert run["results"][0]["ruleId"] == "F-29999"
    assert "results were left out" in run["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"]
