"""Two promises side by side: every difference is named, and what demands less under an old id is refused."""

from __future__ import annotations

import pytest

from refute.attest import sha256_hex
from refute.lock.changes import changes, loosened
from refute.lock.model import Facts, LockedFalsifier, LockedRelease, LockedSpec, Promise
from refute.outcome import Direction, Outcome
from refute.spec.criteria import parse_spec
from refute.spec.files import parse_release

RELEASE = "release: tiny\ntitle: Tiny\nrun_class: quick\nevidence: {answers: a.jsonl}\n"
SPEC = """\
spec: SPEC-A-001
version: 3
title: Answers
criteria:
  - id: AC-A-001
    title: Right
    statement: Most answers are right.
    severity: block
    phase: 1
    requires_run_class: embedded
    falsifiers:
      - id: F-A-001
        uses: accuracy
        with: {share: 1.0, names: [a, b], strict: true}
        thresholds:
          accuracy: { holds_if: ">= 80 %" }
          rows: { holds_if: ">= 20 rows", inconclusive_if: "< 5 rows" }
      - { id: F-A-002, uses: accuracy, thresholds: { accuracy: { holds_if: ">= 70 %" } } }
      - { id: F-A-003, planned: not written yet }
  - id: AC-A-002
    title: Enough
    statement: There are enough answers.
    severity: warn
    phase: 1
    falsifiers: []
retired:
  - { id: F-A-009, reason: It measured the wrong thing. }
"""
FACTS = Facts(
    engine="e" * 64,
    falsifiers={
        "accuracy": LockedFalsifier(
            file="f" * 64, folder="d" * 64, controls={"good": Outcome.CORROBORATED, "bad": Outcome.FALSIFIED}
        )
    },
    inputs={"evidence.answers": "a" * 64},
)


def promise(spec: str = SPEC, release: str = RELEASE, facts: Facts = FACTS, policy: str | None = None) -> Promise:
    """A promise of these texts."""
    return Promise(
        release=LockedRelease(sha256=sha256_hex(release.encode()), content=parse_release(release, "release")),
        specs=(LockedSpec(sha256=sha256_hex(spec.encode()), content=parse_spec(spec, "spec")),),
        facts=facts,
        policy=policy,
    )


def with_(old: str, new: str, text: str = SPEC) -> str:
    """The text with one part replaced; it must be there."""
    assert old in text
    return text.replace(old, new, 1)


SECOND_USE = '      - { id: F-A-002, uses: accuracy, thresholds: { accuracy: { holds_if: ">= 70 %" } } }\n'
LAST_CRITERION = SPEC[SPEC.index("  - id: AC-A-002") : SPEC.index("retired:")]
# what is edited: (place, direction, refused under the same version)
EDITS: dict[str, tuple[str, str, Direction, bool]] = {
    "a lower bar": (with_(">= 80 %", ">= 70 %"), "AC-A-001 F-A-001 accuracy", Direction.LOOSER, True),
    "a higher bar": (with_(">= 80 %", ">= 90 %"), "AC-A-001 F-A-001 accuracy", Direction.TIGHTER, False),
    "a test that may stop early": (
        with_('">= 80 %" }', '">= 80 %", sequential: {error_rate: 0.4, spending: pocock, problems: 9, looks: [9]} }'),
        "AC-A-001 F-A-001 accuracy", Direction.CHANGED, True,
    ),
    "a later date": (
        with_("    phase: 1\n", '    phase: 1\n    effective_on: "2030-01-01"\n'),
        "AC-A-001 effective_on", Direction.LOOSER, True,
    ),
    "another unit": (with_(">= 80 %", ">= 80 points"), "AC-A-001 F-A-001 accuracy", Direction.CHANGED, True),
    "more doubt": (with_("< 5 rows", "< 9 rows"), "AC-A-001 F-A-001 rows", Direction.LOOSER, True),
    "a bar less": (
        with_('          accuracy: { holds_if: ">= 80 %" }\n', ""), "AC-A-001 F-A-001 accuracy", Direction.LOOSER, True,
    ),
    "a bar more": (
        with_('"< 5 rows" }\n', '"< 5 rows" }\n          gain: { holds_if: "> 0 %" }\n'),
        "AC-A-001 F-A-001 gain", Direction.TIGHTER, False,
    ),
    "a weaker severity": (with_("severity: block", "severity: warn"), "AC-A-001 severity", Direction.LOOSER, True),
    "a stronger severity": (with_("severity: warn", "severity: block"), "AC-A-002 severity", Direction.TIGHTER, False),
    "a smaller run": (
        with_("requires_run_class: embedded", "requires_run_class: quick"),
        "AC-A-001 requires_run_class", Direction.LOOSER, True,
    ),
    "a larger run for one": (
        with_("uses: accuracy\n", "uses: accuracy\n        requires_run_class: full\n"),
        "AC-A-001 F-A-001 requires_run_class", Direction.TIGHTER, False,
    ),
    "another parameter": (with_("share: 1.0", "share: 0.5"), "AC-A-001 F-A-001 with.share", Direction.CHANGED, True),
    "a parameter less": (with_(", strict: true", ""), "AC-A-001 F-A-001 with.strict", Direction.CHANGED, True),
    "true as a number": (with_("strict: true", "strict: 1"), "AC-A-001 F-A-001 with.strict", Direction.CHANGED, True),
    "another falsifier": (with_("uses: accuracy", "uses: other"), "AC-A-001 F-A-001 uses", Direction.CHANGED, True),
    "only planned now": (
        with_("{ id: F-A-002, uses: accuracy, ", "{ id: F-A-002, planned: later, "),
        "AC-A-001 F-A-002 uses", Direction.CHANGED, True,
    ),
    "no longer planned": (
        with_("planned: not written yet", 'uses: accuracy, thresholds: { accuracy: { holds_if: "> 1 %" } }'),
        "AC-A-001 F-A-003 uses", Direction.TIGHTER, False,
    ),
    "a falsifier less": (with_(SECOND_USE, ""), "AC-A-001 F-A-002", Direction.LOOSER, True),
    "a retired falsifier": (
        with_(SECOND_USE, "", with_("retired:", "retired:\n  - { id: F-A-002, reason: A copy. }")),
        "AC-A-001 F-A-002", Direction.CHANGED, False,
    ),
    "a criterion less": (with_(LAST_CRITERION, ""), "AC-A-002", Direction.LOOSER, True),
    "a retired criterion": (
        with_(LAST_CRITERION, "", with_("retired:", "retired:\n  - { id: AC-A-002, reason: Replaced. }")),
        "AC-A-002", Direction.CHANGED, False,
    ),
    "no longer retired": (SPEC[: SPEC.index("retired:")], "F-A-009", Direction.LOOSER, True),
    "an excuse": (
        with_("    phase: 1\n", "    phase: 1\n    not_applicable_when: { run_class: quick }\n"),
        "AC-A-001 not_applicable_when", Direction.LOOSER, True,
    ),
    "another statement": (with_("Most answers", "Some answers"), "AC-A-001 statement", Direction.CHANGED, True),
    "another title": (with_("title: Right", "title: Correct"), "AC-A-001 title", Direction.NEUTRAL, False),
    "more time": (
        with_("uses: accuracy\n", "uses: accuracy\n        timeout_s: 600\n"),
        "AC-A-001 F-A-001 timeout_s", Direction.NEUTRAL, False,
    ),
    "another name": (with_("title: Answers", "title: Replies"), "SPEC-A-001 title", Direction.NEUTRAL, False),
    "a comment": (SPEC + "# nothing\n", "SPEC-A-001 text", Direction.NEUTRAL, False),
    "an older version": (with_("version: 3", "version: 2"), "SPEC-A-001 version", Direction.LOOSER, True),
}  # fmt: skip


def test_the_same_promise_has_no_changes() -> None:
    """Also when one of them went through canonical JSON, which writes 1.0 as 1."""
    stored = Promise.model_validate_json(promise().model_dump_json(by_alias=True).replace("1.0", "1"))
    assert changes(promise(), promise()) == ()
    assert changes(stored, promise()) == ()


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_spec_is_named_with_its_direction(name: str) -> None:
    """Its place, whether it is looser or tighter, and whether a new lock under the same version refuses it."""
    text, place, direction, refused = EDITS[name]
    found = {change.place: change for change in changes(promise(), promise(text))}
    assert found[place].direction is direction
    assert found[place].old != found[place].new
    assert [each.place for each in loosened(promise(), promise(text))] == ([place] if refused else [])


@pytest.mark.parametrize("name", [name for name, edit in EDITS.items() if edit[3] and name != "an older version"])
def test_a_raised_version_allows_what_is_looser(name: str) -> None:
    """The version says aloud that the promise is another; the change is still shown."""
    text, place, _, _ = EDITS[name]
    raised = promise(with_("version: 3", "version: 4", text))
    assert loosened(promise(), raised) == ()
    assert place in {change.place for change in changes(promise(), raised)}


def test_a_text_that_says_retired_retires_nothing() -> None:
    """The word in a statement is no way around the refusal."""
    text = with_("Most answers are right.", "retired")
    assert [each.place for each in loosened(promise(), promise(text))] == ["AC-A-001 statement"]


def facts(**values: object) -> Facts:
    """The facts with other values."""
    return FACTS.model_copy(update=values)


def falsifier(**values: object) -> Facts:
    """The facts with another falsifier."""
    return facts(falsifiers={"accuracy": FACTS.falsifiers["accuracy"].model_copy(update=values)})


@pytest.mark.parametrize(
    ("changed", "place", "refused"),
    [
        (promise(facts=facts(engine="0" * 64)), "engine code", False),
        (promise(facts=facts(inputs={"evidence.answers": "0" * 64})), "input evidence.answers", False),
        (promise(facts=facts(inputs={})), "input evidence.answers", False),
        (promise(facts=facts(falsifiers={})), "falsifier accuracy", False),
        (promise(facts=falsifier(file="0" * 64)), "falsifier accuracy code", False),
        (promise(facts=falsifier(folder="0" * 64)), "falsifier accuracy files beside its code", False),
        (
            promise(facts=falsifier(controls={"good": Outcome.CORROBORATED})),
            "falsifier accuracy control 'bad'",
            True,
        ),
        (promise(release=RELEASE.replace("quick", "full")), "release run_class", False),
        (promise(release=RELEASE + "# nothing\n"), "release text", False),
        (promise(policy="0" * 64), "policy", False),
    ],
)
def test_what_is_no_spec_is_compared_as_well(changed: Promise, place: str, refused: bool) -> None:
    """Code and data may change between locks, but are shown; a control that is gone must be said aloud."""
    assert place in {change.place for change in changes(promise(), changed)}
    assert [each.place for each in loosened(promise(), changed)] == ([place] if refused else [])


def test_a_spec_that_is_gone_takes_its_criteria_with_it() -> None:
    """Without their ids in `retired` that is refused: nobody raised a version."""
    gone = promise().model_copy(update={"specs": ()})
    assert {each.place for each in loosened(promise(), gone)} == {"AC-A-001", "AC-A-002"}
    added = changes(gone, promise())
    assert {each.direction for each in added if each.spec} == {Direction.TIGHTER}


def test_a_criterion_that_moves_to_a_new_spec_keeps_its_past() -> None:
    """A new spec id is no way around an old criterion id."""
    moved = promise(with_(">= 80 %", ">= 50 %", with_("SPEC-A-001", "SPEC-B-001")))
    assert "AC-A-001 F-A-001 accuracy" in {each.place for each in loosened(promise(), moved)}


def test_the_loosest_comes_first() -> None:
    """A reader sees what matters at the top."""
    text = with_(">= 80 %", ">= 70 %", with_("title: Right", "title: Correct"))
    found = [change.direction for change in changes(promise(), promise(text, facts=facts(engine="0" * 64)))]
    assert found[0] is Direction.LOOSER
    assert found[-1] is Direction.NEUTRAL
