"""Spec files: defaults, every rule with the line of its fault, and when a release is excused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from refute.errors import SpecError
from refute.outcome import RunClass, Severity
from refute.spec.bars.threshold import Threshold, parse_bar
from refute.spec.criteria import Criterion, Spec, load_spec, merge, not_applicable, parse_spec
from refute.spec.release import Release

GOOD = """\
spec: SPEC-DEMO-001
version: 3
title: A demonstration
criteria:
  - id: AC-DEMO-001
    title: Small loss
    statement: The held-out loss is below three.
    severity: block
    phase: 4
    source: a measurement
    falsifiers:
      - id: F-DEMO-001
        uses: held-out-loss
        with: {window: 4, share: 0.5, name: x, deep: true, layers: [1, 2]}
        thresholds:
          loss: {holds_if: "< 3.0 nat/token", inconclusive_if: "< 0 nat/token"}
      - id: F-DEMO-002
        title: later
        planned: the publish room does not exist yet
retired:
  - {id: F-DEMO-000, reason: its bar was moved}
"""


def faults(text: str) -> list[str]:
    """The problems of `text` as `line: key: message`."""
    with pytest.raises(SpecError, match=r"s\.yaml") as caught:
        parse_spec(text, "s.yaml")
    return [str(problem).removeprefix("s.yaml:") for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    """GOOD with one part replaced."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def criterion(conditions: dict[str, bool | int | float | str | None]) -> Criterion:
    """A criterion that is excused under `conditions`."""
    return Criterion(
        id="AC-A",
        title="a",
        statement="a",
        severity=Severity.BLOCK,
        phase=1,
        not_applicable_when=conditions,
        falsifiers=(),
    )


def test_good_spec_is_read_with_its_defaults() -> None:
    """Everything that a file leaves out gets its documented default, and bars arrive parsed."""
    spec = parse_spec(GOOD, "s.yaml")
    first, second = spec.criteria[0].falsifiers
    assert (spec.spec, spec.version, spec.criteria[0].severity) == ("SPEC-DEMO-001", 3, Severity.BLOCK)
    assert spec.criteria[0].requires_run_class is RunClass.QUICK
    assert first.parameters == {"window": 4, "share": 0.5, "name": "x", "deep": True, "layers": (1, 2)}
    assert [type(value) for value in first.parameters.values()] == [int, float, str, bool, tuple]
    assert first.parsed_thresholds() == {"loss": Threshold(parse_bar("< 3.0 nat/token"), parse_bar("< 0 nat/token"))}
    assert (first.timeout_s, first.requires_run_class) == (60.0, None)
    assert (second.uses, second.planned) == (None, "the publish room does not exist yet")
    assert second.parsed_thresholds() == {}


def test_loaded_spec_carries_text_and_digest_of_its_file(tmp_path: Path) -> None:
    """The digest is that of the file's bytes, and the text parses to the same spec."""
    path = tmp_path / "s.yaml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode("utf-8"))
    loaded = load_spec(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.text.encode("utf-8") == path.read_bytes()
    assert parse_spec(loaded.text, "signed") == loaded.spec
    assert loaded.document.line_of(("criteria", 0, "falsifiers", 1, "id")) == 17


FIRST, SECOND = "criteria[0].falsifiers[0]", "criteria[0].falsifiers[1]"
BROKEN = [
    ("spec: SPEC-DEMO-001", "spec: DEMO", 1, "spec", "String should match pattern"),
    ("version: 3", "version: 0", 2, "version", "should be greater than or equal to 1, found 0"),
    ("version: 3", "version: 3.0", 2, "version", "should be a valid integer, found 3.0"),
    ("version: 3", "version: '3'", 2, "version", 'should be a valid integer, found "3"'),
    ("title: A demonstration", "title: ' '", 3, "title", "String should match pattern"),
    ("id: AC-DEMO-001", "id: AC-demo", 5, "criteria[0].id", "String should match pattern"),
    ("severity: block", "severity: high", 8, "criteria[0].severity", "should be 'block', 'warn' or 'info'"),
    ("phase: 4", "phase: 10", 9, "criteria[0].phase", "should be less than or equal to 9"),
    ("source: a", "sourc: a", 10, "criteria[0].sourc", "unknown key `sourc`; did you mean `source`?"),
    ("source: a", "requires_run_class: big", 10, "criteria[0].requires_run_class", "should be 'quick', "),
    ("uses: held-out-loss", "title: x", 12, FIRST, "name either `uses` or `planned`"),
    ("uses: held", "planned: x\n        uses: held", 12, FIRST, "name either `uses` or `planned`"),
    ("title: later", "titel: later", 18, f"{SECOND}.titel", "unknown key `titel`; did you mean `title`?"),
    ("name: x", "name: null", 14, f"{FIRST}.with.name", "should be a valid boolean or a valid integer or"),
    ("[1, 2]", "[1, null]", 14, f"{FIRST}.with.layers[1]", "should be a valid boolean or"),
    ('"< 3.0 nat/token"', "'3.0 x'", 16, f"{FIRST}.thresholds.loss.holds_if", "expected an operator"),
    ('"< 3.0 nat/token"', "3", 16, f"{FIRST}.thresholds.loss.holds_if", "should be a valid string, found 3"),
    ('"< 0 nat/token"', "'< 0 x'", 16, f"{FIRST}.thresholds.loss.inconclusive_if", "unit 'x' differs"),
    ("title: later", "timeout_s: 0", 18, f"{SECOND}.timeout_s", "should be greater than 0, found 0"),
    ("planned: the publish room does not exist yet", "planned: ''", 19, f"{SECOND}.planned", "String should"),
    ("F-DEMO-002", "F-DEMO-001", 17, f"{SECOND}.id", "duplicate id F-DEMO-001"),
    ("F-DEMO-002", "F-DEMO-000", 21, "retired[0].id", "id F-DEMO-000 is retired, yet used"),
    ("retired:", "retired:\n  - {id: F-DEMO-000, reason: x}", 22, "retired[1].id", "id F-DEMO-000 is retired"),
    ("reason: its bar was moved", "reason: ''", 21, "retired[0].reason", "String should match pattern"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), BROKEN)
def test_each_rule_reports_line_key_and_expectation(old: str, new: str, line: int, key: str, message: str) -> None:
    """One broken rule gives exactly one problem, at its line and key."""
    (found,) = faults(changed(old, new))
    assert found.startswith(f"{line}: {key}: {message}")


def test_used_falsifier_without_bars_is_refused() -> None:
    """Without a bar nothing could be decided."""
    lines = [line for line in GOOD.splitlines() if "threshold" not in line and "holds_if" not in line]
    (found,) = faults("\n".join(lines))
    assert found.startswith("12: criteria[0].falsifiers[0]: a falsifier in use needs `thresholds`")


def test_empty_spec_is_refused() -> None:
    """A spec without criteria would be satisfied by anything."""
    (found,) = faults("spec: SPEC-A\nversion: 1\ntitle: t\ncriteria: []")
    assert found.startswith("4: criteria: expected at least one criterion")


def test_duplicate_ids_are_reported_beside_other_faults() -> None:
    """A type fault elsewhere does not hide that an id is used twice."""
    found = faults(changed("F-DEMO-002", "F-DEMO-001").replace("phase: 4", "phase: four"))
    assert [line.split(":")[0] for line in found] == ["9", "17"]


def test_spec_made_in_code_obeys_the_same_rule_of_ids() -> None:
    """A Spec object with a repeated id cannot exist, however it was made."""
    one = criterion({})
    with pytest.raises(ValidationError, match="duplicate id AC-A"):
        Spec(spec="SPEC-A", version=1, title="t", criteria=(one, one))


def test_spec_is_frozen() -> None:
    """Nobody moves a bar after loading."""
    spec = parse_spec(GOOD, "s.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        spec.version = 4


def test_merge_names_both_places_of_an_id_used_in_two_files(tmp_path: Path) -> None:
    """Ids are unique across files, the retired ones of one file included."""
    one, two, three = (tmp_path / name for name in ("one.yaml", "two.yaml", "three.yaml"))
    one.write_text(GOOD, encoding="utf-8")
    two.write_text(
        GOOD.replace("SPEC-DEMO-001", "SPEC-DEMO-002")
        .replace("AC-DEMO-001", "AC-DEMO-002")
        .replace("F-DEMO-001", "F-DEMO-000")
        .replace("F-DEMO-002", "F-DEMO-003")
        .split("retired:")[0],
        encoding="utf-8",
    )
    three.write_text(GOOD.replace("DEMO", "OTHER"), encoding="utf-8")
    specs = [load_spec(path) for path in (one, two, three)]
    assert merge([specs[0], specs[2]]) == (specs[0], specs[2])
    with pytest.raises(SpecError, match="duplicate id F-DEMO-000") as caught:
        merge(specs)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(two), 12)
    assert problem.message == f"duplicate id F-DEMO-000, already used at {one}:21"


def test_merge_refuses_one_file_given_twice(tmp_path: Path) -> None:
    """A spec named twice is a mistake, not two specs."""
    path = tmp_path / "s.yaml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(SpecError, match="duplicate id SPEC-DEMO-001"):
        merge([load_spec(path), load_spec(path)])


RELEASE = Release(release="demo", title="t", run_class=RunClass.QUICK, evidence={"run": "run.json"})


@pytest.mark.parametrize(
    ("conditions", "excused"),
    [
        ({}, False),
        ({"run_class": "quick"}, True),
        ({"run_class": "full"}, False),
        ({"run_class": "quick", "operator": "unnamed"}, True),
        ({"run_class": "quick", "operator": "someone"}, False),
        ({"distillation": None}, True),
        ({"distillation.device": "cpu"}, False),
        ({"distillation.device": None}, False),
        ({"evidence.run": "run.json"}, True),
        ({"evidence.other": None}, False),
    ],
)
def test_release_is_excused_only_where_all_conditions_match(
    conditions: dict[str, bool | int | float | str | None], excused: bool
) -> None:
    """A criterion applies unless every condition equals the release's value; absent values equal nothing."""
    reason = not_applicable(criterion(conditions), RELEASE)
    assert (reason is not None) is excused
    assert all(f"{path} is {value!r}" in (reason or "") for path, value in conditions.items() if excused)


def test_number_does_not_pass_for_a_boolean_or_for_text() -> None:
    """1 is neither true nor "1", although it is 1.0."""
    training = {
        **dict.fromkeys(("steps", "batch_size", "micro_batch_size", "eval_every", "eval_windows"), 1),
        "seq_len": 2,
        "checkpoint_every": 1,
        "learning_rate": 0.1,
        "min_learning_rate": 0.1,
        "ce_weight": 0.3,
        "kd_weight": 0.7,
        "temperature": 4.0,
    }
    distillation = {
        "teacher": {"format": "hf", "path": "t"},
        "init": {"method": "load", "model": {"format": "hf", "path": "i"}},
        "corpus": {"kind": "python_stdlib", "train_tokens": 1, "heldout_tokens": 1},
        "training": training,
        "humaneval": {
            "problems": {"path": "p", "sha256": "0" * 64},
            "prompt": "completion",
            "max_new_tokens": 1,
            "batch_size": 1,
        },
        "threads": 1,
    }
    values = {"release": "a", "title": "t", "run_class": "quick", "distillation": distillation}
    release = Release.model_validate_json(json.dumps(values))
    assert not_applicable(criterion({"distillation.threads": True}), release) is None
    assert not_applicable(criterion({"distillation.threads": "1"}), release) is None
    assert not_applicable(criterion({"distillation.threads": 1.0}), release) is not None


@pytest.mark.parametrize("path", ["run_clas", "distillation.training.alpha", "run_class.x", "specs.0", ""])
def test_condition_on_a_key_that_no_release_has_is_an_error(path: str) -> None:
    """A misspelt condition neither excuses nor silently applies."""
    with pytest.raises(SpecError, match="a release has no such key"):
        not_applicable(criterion({path: "quick"}), RELEASE)


RULE = "{error_rate: 0.05, spending: pocock, problems: 164, look_every: 8}"


@pytest.mark.parametrize(
    ("bar", "rule", "message"),
    [
        (">= 15 %", RULE.replace(", look_every: 8", ""), "name either `look_every` or `looks`"),
        (">= 15 %", RULE.replace("8}", "8, looks: [8, 164]}"), "name either `look_every` or `looks`"),
        (">= 15 %", RULE.replace("look_every: 8", "looks: [8, 160]"), "the last of `looks` must be `problems`, 164"),
        (">= 15 %", RULE.replace("look_every: 8", "looks: [9, 8, 164]"), "looks are rising numbers"),
        (">= 15 %", RULE.replace("pocock", "haybittle"), "should be 'obrien_fleming' or 'pocock'"),
        (">= 15 %", RULE.replace("0.05", "0.5"), "should be less than 0.5"),
        ("== 15 %", RULE, "not against `== 15 %`"),
        (">= 15 problems", RULE, "not against `>= 15 problems`"),
        (">= 0 %", RULE, "between 0 and 100 %, found 0 %"),
    ],
)
def test_a_sequential_rule_without_sense_is_refused(bar: str, rule: str, message: str) -> None:
    """Found when the file is loaded, at the threshold that declares it."""
    found = faults(
        changed(
            '{holds_if: "< 3.0 nat/token", inconclusive_if: "< 0 nat/token"}',
            f'{{holds_if: "{bar}", sequential: {rule}}}',
        )
    )
    assert [each for each in found if each.startswith("16: ") and message in each], found


def test_a_sequential_rule_gives_the_test_of_its_bar() -> None:
    """The bar is stated once; looks are written out, the last after all problems."""
    spec = parse_spec(
        changed('"< 3.0 nat/token", inconclusive_if: "< 0 nat/token"', f'">= 15 %", sequential: {RULE}'), "s.yaml"
    )
    (design,) = spec.criteria[0].falsifiers[0].designs().values()
    assert (design.bar, design.error_rate, design.spending, design.seed) == (15.0, 0.05, "pocock", 17)
    assert (design.looks[:2], design.looks[-2:]) == ((8, 16), (160, 164))
