"""The view must say what the predicate says, in words that cannot mislead."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from refute.judge.predicate.exhibits import Curve, Exhibits, Grid
from refute.judge.predicate.model import Predicate
from refute.judge.subject import Subject
from refute.judge.verdict import CriterionRuling, FalsifierRuling, Verdict
from refute.outcome import Outcome, Ruling, RunClass, Severity
from refute.report.json_report import JsonReport
from refute.report.view import View, view_of


def _criterion(outcome: Outcome, severity: Severity = Severity.BLOCK, *, uncovered: bool = False) -> CriterionRuling:
    falsifiers = () if uncovered else (FalsifierRuling("F-1", outcome, "because"),)
    return CriterionRuling("S", "AC-1", "claim", severity, 1, outcome, uncovered, falsifiers)


HELD = _criterion(Outcome.CORROBORATED)


def _view(predicate: Predicate, ruling: Ruling, *criteria: CriterionRuling, **changes: object) -> View:
    verdict = Verdict(ruling, (), criteria, 4, 4, False)
    changed = {"records": (), "verdict": verdict, **changes}
    return view_of(predicate.model_copy(update=changed), "0" * 64)


def test_headline_counts_blocking_criteria_by_outcome(predicate: Predicate, payload: str) -> None:
    """The first line names the cause, the misbehaving control, and then how many blocking criteria do not hold."""
    assert view_of(predicate, payload).headline == (
        "NO-GO: 1 of 18 controls misbehaved: their falsifiers prove nothing; "
        "5 of 7 blocking criteria do not hold (2 falsified, 1 error, 1 not run, 1 inconclusive)"
    )


def test_headline_of_go_claims_only_what_holds(predicate: Predicate) -> None:
    """GO counts what was attacked and held, and has no reason against it."""
    view = _view(predicate, Ruling.GO, _criterion(Outcome.CORROBORATED))
    assert view.headline == "GO: 1 of 1 criterion held, 4 of 4 controls behaved"
    assert view.unopposed == "Every blocking and warning criterion that applies was attacked and held."


def test_headline_of_warn_names_the_warning_criterion(predicate: Predicate) -> None:
    """A warn criterion that does not hold is what WARN reports."""
    warned = _criterion(Outcome.FALSIFIED, Severity.WARN)
    verdict = Verdict(
        Ruling.WARN, ("AC-1 (warn) falsified: F-1: because",), (HELD, warned), 4, 4, False, decided_by="AC-1"
    )
    view = view_of(predicate.model_copy(update={"records": (), "verdict": verdict}), "0" * 64)
    assert view.headline == "WARN: AC-1 (warn) falsified; 1 of 1 warning criterion does not hold (1 falsified)"


def test_what_does_not_apply_is_counted_apart(predicate: Predicate) -> None:
    """An excused criterion is no held one: not in the headline, the tally, or report.json."""
    excused = replace(_criterion(Outcome.NOT_APPLICABLE), criterion="AC-2")
    go = _view(predicate, Ruling.GO, HELD, excused)
    assert go.headline == "GO: 1 of 1 criterion held, 1 not applicable, 4 of 4 controls behaved"
    assert dict(go.tally) == {"corroborated": 1, "not applicable": 1}
    counts = json.loads(JsonReport().render(go.predicate, "0" * 64))["counts"]
    assert (counts["corroborated"], counts["not_applicable"]) == (1, 1)
    no_go = _view(predicate, Ruling.NO_GO, replace(_criterion(Outcome.FALSIFIED), criterion="AC-3"), HELD, excused)
    assert no_go.headline.endswith("1 of 2 blocking criteria does not hold (1 falsified)")


def test_a_subject_that_nobody_read_is_told(predicate: Predicate) -> None:
    """Where the judge says that no measurement read a file of it, a reader is warned; otherwise not."""
    told = "No falsifier read a file of the subject itself"
    for unread in (False, True):
        verdict = replace(predicate.verdict, subject_unread=unread)
        view = view_of(predicate.model_copy(update={"verdict": verdict}), "0" * 64)
        assert any(told in warning for warning in view.warnings) is unread


def test_headline_without_criteria_says_that_nothing_was_judged(predicate: Predicate) -> None:
    """An empty verdict reads as empty, never as clean."""
    assert _view(predicate, Ruling.NO_GO).headline == "NO-GO: nothing was judged"


def test_headline_calls_a_criterion_without_falsifier_uncovered(predicate: Predicate) -> None:
    """Uncovered is its own word, and it stands among what was not run."""
    view = _view(predicate, Ruling.NO_GO, _criterion(Outcome.NOT_RUN, uncovered=True))
    assert view.headline.endswith("(1 uncovered)")
    assert [row.reasons for row in view.not_run] == [("no falsifier attacks this criterion",)]


def test_groups_hold_every_criterion_once(predicate: Predicate, payload: str) -> None:
    """No criterion is lost or shown twice by the grouping, and failures come first."""
    view = view_of(predicate, payload)
    shown = [row.ruling.criterion for row in view.rows]
    assert sorted(shown) == sorted(ruling.criterion for ruling in predicate.verdict.criteria)
    assert [group.key for group in view.groups] == ["failed", "not-run", "inconclusive", "held"]
    assert len({row.anchor for row in view.rows}) == len(shown)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_groups_have_a_place_for_each_outcome(predicate: Predicate, outcome: Outcome) -> None:
    """Only corroborated counts as held: every other outcome lands in another group."""
    view = _view(predicate, Ruling.NO_GO, _criterion(outcome))
    assert len(view.rows) == 1
    assert (view.groups[0].key == "held") == (outcome is Outcome.CORROBORATED)


def test_misbehaving_control_is_listed_with_its_falsifier(predicate: Predicate, payload: str) -> None:
    """Exactly the control whose observed outcome differs from the expected one is listed."""
    found = [(item.falsifier, item.control.name) for item in view_of(predicate, payload).misbehaving]
    assert found == [("F-DISTILL-TEACHER-001", "known bad 2")]


def test_unsaid_holds_what_reasons_do_not_quote(predicate: Predicate, payload: str) -> None:
    """A measurement is left to the reason only when the reason quotes its name, value and unit."""
    rows = view_of(predicate, payload).rows
    unsaid = {row.ruling.criterion: [item.name for item in row.unsaid] for row in rows}
    assert unsaid["AC-DISTILL-003"] == []
    assert unsaid["AC-DISTILL-002"] == ["steps_completed"]


def test_warnings_name_key_and_run_class(predicate: Predicate, payload: str) -> None:
    """A development key and a small run class are both told, and neither once they are gone."""
    told = " ".join(view_of(predicate, payload).warnings)
    assert "development key" in told
    assert "vouches for nobody" in told
    assert "Run class embedded" in told
    trusted = predicate.model_copy(
        update={
            "signer": predicate.signer.model_copy(update={"development": False}),
            "release": predicate.release.model_copy(update={"run_class": RunClass.FULL}),
        }
    )
    assert view_of(trusted, payload).warnings == ()


def test_warnings_name_partial_run_missing_controls_and_faults(predicate: Predicate, payload: str) -> None:
    """What weakens a verdict is said in words: partial, no control, unreadable and stray records, waivers."""
    verdict = replace(
        predicate.verdict, partial=True, controls_total=0, criteria=(), waivers_applied=("AC-1 waived by Ann",)
    )
    subject = Subject(kind="release_file", name="embedded.yaml", sha256="0" * 64)
    changed = predicate.model_copy(
        update={"verdict": verdict, "record_faults": ("line 3 is not JSON",), "subject": subject}
    )
    view = view_of(changed, payload)
    told = "\n".join(view.warnings)
    expected = (
        "Partial run",
        "No control was run",
        "line 3 is not JSON",
        "AC-1 waived by Ann",
        "No model was produced",
        "belongs to no criterion",
    )
    assert [words for words in expected if words not in told] == []
    assert view.verify_commands[0] == "refute verify verdict.intoto.json --key PUB"


def test_verify_command_asks_for_the_subject(predicate: Predicate, payload: str) -> None:
    """A model folder and an evidence file are both compared with what the reader holds."""
    file = Subject(kind="evidence_file", name="answers.jsonl", sha256="0" * 64)
    commands = [
        view_of(each, payload).verify_commands[0]
        for each in (predicate, predicate.model_copy(update={"subject": file}))
    ]
    assert [command.partition(" --model ")[2] for command in commands] == ["DIR", "FILE"]


def test_warnings_name_broken_exhibits(predicate: Predicate, payload: str) -> None:
    """A curve or grid whose lengths disagree, or an absent section, is named and not drawn."""
    exhibits = Exhibits(
        sections=predicate.exhibits.sections[1:],
        curves=(Curve(chart="c", name="torn", unit="u", steps=(1, 2), values=(1.0,)),),
        grids=(Grid(name="short", problems=("p", "q"), outcomes=("passed",)),),
    )
    told = " ".join(view_of(predicate.model_copy(update={"exhibits": exhibits}), payload).warnings)
    assert "Curve torn has 2 steps and 1 values: not drawn" in told
    assert "Grid short has 2 problems and 1 outcomes: not drawn" in told
    assert "absent from the signed content: 1." in told
