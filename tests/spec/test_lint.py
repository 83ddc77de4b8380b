"""Linting: what a spec says about falsifiers and releases that do not exist as it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from refute.falsifier.registry import Falsifier
from refute.spec.criteria import LoadedSpec, load_spec
from refute.spec.lint import UNCOVERED, check_spec, check_specs

GOOD = """\
spec: SPEC-DEMO-001
version: 1
title: A demonstration
criteria:
  - id: AC-DEMO-001
    title: Small loss
    statement: The held-out loss is below three.
    severity: block
    phase: 4
    not_applicable_when: {distillation.training.dtype: bfloat16, evidence.any: x}
    falsifiers:
      - id: F-DEMO-001
        uses: held-out-loss
        with: {window: 4, share: 1}
        thresholds:
          loss: {holds_if: "< 3.0 nat/token", inconclusive_if: "< 0 nat/token"}
"""


@dataclass(frozen=True)
class Declared:
    """What a falsifier says about itself."""

    name: str
    measures: Mapping[str, str]
    parameters: Mapping[str, object] = field(default_factory=dict)


HELD_OUT = Declared(
    "held-out-loss",
    {"loss": "nat/token", "gain": "%"},
    {"window": 2, "share": 0.5, "mode": "mean", "strict": True, "layers": (1, 2)},
)
DECLARATIONS = {"held-out-loss": HELD_OUT, "teacher-parity": Declared("teacher-parity", {"gap": "logit"})}


def loaded(folder: Path, text: str, name: str = "s.yaml") -> LoadedSpec:
    """`text` written to a file and loaded as a spec."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_spec(path)


def test_clean_spec_has_no_problems(tmp_path: Path) -> None:
    """What is right is not reported, an int for a float parameter included."""
    assert check_specs([loaded(tmp_path, GOOD)], DECLARATIONS) == []


def test_registry_falsifiers_fit_the_protocol(tmp_path: Path) -> None:
    """A registered falsifier can be handed to linting as it is."""
    measures, parameters = {"loss": "nat/token"}, {"window": 2, "share": 0.5}
    real = Falsifier("held-out-loss", lambda _: (), ("run",), measures, parameters, (), tmp_path)
    assert check_spec(loaded(tmp_path, GOOD), {"held-out-loss": real}) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("uses: held-", "uses: held", 13, "uses", "unknown-falsifier] no falsifier is called `heldout-loss`"),
        ("uses: held-", "uses: held", 13, "uses", "; did you mean `held-out-loss`?"),
        ("loss: {", "los: {", 16, "thresholds.los", "unknown-measurement] `held-out-loss` does not measure"),
        ("loss: {", "los: {", 16, "thresholds.los", "`los`; did you mean `loss`?"),
        ("loss: {", "gain: {", 16, "thresholds.gain.holds_if", "unit-mismatch] `held-out-loss` measures"),
        ("loss: {", "gain: {", 16, "thresholds.gain.holds_if", "in '%', but the bar is in 'nat/token'"),
        ("window: 4", "windw: 4", 14, "with.windw", "unknown-parameter] `held-out-loss` takes no parameter"),
        ("window: 4", "windw: 4", 14, "with.windw", "`windw`; did you mean `window`?"),
        ("window: 4", "window: 4.0", 14, "with.window", "parameter-type] `window` should be like"),
        ("window: 4", "window: 4.0", 14, "with.window", "its default 2 (int), found 4.0 (float)"),
        ("window: 4", "window: true", 14, "with.window", "parameter-type]"),
        ("share: 1", "share: true", 14, "with.share", "parameter-type]"),
        ("share: 1", "mode: 1", 14, "with.mode", "parameter-type]"),
        ("share: 1", "strict: 1", 14, "with.strict", "parameter-type]"),
        ("share: 1", "share: [0.5]", 14, "with.share", "parameter-type]"),
        ("share: 1", "layers: [1, x]", 14, "with.layers", "parameter-type]"),
        ("< 0 nat", ">= 3 nat", 16, "thresholds.loss", "cannot-fail]"),
        ("< 0 nat", "> 2 nat", 16, "thresholds.loss", "cannot-fail]"),
        ("< 0 nat", "< 3 nat", 16, "thresholds.loss", "cannot-hold]"),
    ],
)
def test_each_fault_has_its_code_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, key: str, message: str
) -> None:
    """One fault gives exactly one problem, with a stable code, at its line and key."""
    assert old in GOOD
    (problem,) = check_spec(loaded(tmp_path, GOOD.replace(old, new, 1)), DECLARATIONS)
    assert (problem.line, problem.key) == (line, f"criteria[0].falsifiers[0].{key}")
    assert problem.message.startswith("[spec/")
    assert message in problem.message


def test_bar_that_one_value_can_fail_is_accepted(tmp_path: Path) -> None:
    """Doubt that leaves even a single value to falsify does not count as covering everything."""
    assert check_spec(loaded(tmp_path, GOOD.replace("< 0 nat", "> 3 nat")), DECLARATIONS) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("run_clas", "a release has no `run_clas`; did you mean `run_class`?"),
        (
            "distillation.training.dtyp",
            "a release has no `distillation.training.dtyp`; did you mean `distillation.training.dtype`?",
        ),
        ("title.length", "a release has no `title.length`"),
    ],
)
def test_condition_on_an_unknown_release_key_is_reported(tmp_path: Path, path: str, message: str) -> None:
    """A misspelt condition is found with its line before any release is read."""
    text = GOOD.replace("distillation.training.dtype", path, 1)
    (problem,) = check_spec(loaded(tmp_path, text), DECLARATIONS)
    assert (problem.line, problem.key) == (10, f"criteria[0].not_applicable_when.{path}")
    assert problem.message == f"[spec/unknown-release-path] {message}"


def test_criterion_without_falsifiers_is_uncovered(tmp_path: Path) -> None:
    """A claim that nothing attacks is reported."""
    text = GOOD.split("    falsifiers:")[0] + "    falsifiers: []\n"
    (problem,) = check_spec(loaded(tmp_path, text), DECLARATIONS)
    assert (problem.line, problem.key) == (11, "criteria[0].falsifiers")
    assert problem.code == UNCOVERED
    assert problem.message.startswith("[spec/uncovered] AC-DEMO-001 has no falsifier")


def test_planned_falsifier_needs_no_declaration_but_a_sound_bar(tmp_path: Path) -> None:
    """What cannot run yet is not looked up, yet its bar must still be able to fail."""
    text = GOOD.replace("uses: held-out-loss", "planned: later").replace("< 0 nat", ">= 3 nat")
    (problem,) = check_spec(loaded(tmp_path, text), {})
    assert problem.message.startswith("[spec/cannot-fail]")


def test_all_problems_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    """Faults in different parts are reported together."""
    text = GOOD.replace("window: 4", "windw: 4").replace("loss: {", "los: {").replace("evidence.any", "evidnce")
    assert [problem.line for problem in check_spec(loaded(tmp_path, text), DECLARATIONS)] == [10, 14, 16]


def test_ids_used_in_two_files_are_reported(tmp_path: Path) -> None:
    """Duplicates across files carry a code and both places."""
    first = loaded(tmp_path, GOOD, "a.yaml")
    second = loaded(tmp_path, GOOD.replace("DEMO", "OTHER").replace("F-OTHER-001", "F-DEMO-001"), "b.yaml")
    (problem,) = check_specs([first, second], DECLARATIONS)
    assert problem.file == str(tmp_path / "b.yaml")
    message = f"[spec/duplicate-id] duplicate id F-DEMO-001, already used at {tmp_path / 'a.yaml'}:12"
    assert problem.message == message
