"""Controls alone and mutants: what is noticed, what is not, and what is said about it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from refute.check.controls.kill_matrix import ACCEPTED, kill_matrix
from refute.check.controls.mutants import mutants_of
from refute.check.controls.trials import NoRun, try_uses
from refute.errors import EvidenceError, UsageError
from refute.falsifier.registry import Registry
from refute.outcome import Outcome
from refute.spec.criteria import FalsifierUse, Spec, load_spec, uses_of

pytestmark = pytest.mark.slow

FALSIFIER = '''
import os

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

def good(bench):
    bench.put("answers", "a.json", {{"right": 9, "all": 10}})

def bad(bench):
    bench.put("answers", "a.json", {{"right": 1, "all": 10}})

def too_few(bench):
    bench.put("answers", "a.json", {{"right": 1, "all": 1}})

def tampered(bench):
    bench.put("answers", "a.json", bench.real["answers"].json("a.json"))

def unbuildable(bench):
    raise ValueError("the control's own bug")

def dead(bench):
    os._exit(3)

def of_another_type(bench):
    bench.put("answers", "a.json", {{"right": "9", "all": 10}})

@falsifier("share", needs=("answers",), measures={{"share": "%"}}, controls=({controls}))
def share(context):
    """Refuted when few are right."""
    found = context.evidence("answers").json("a.json"){guard}
    if found["all"] < 5:
        raise ValueError("too few were asked")
    yield Measurement("share", 100 * found["right"] / found["all"], "%", n=max(found["all"], 1))
'''
SPEC = """\
spec: SPEC-SHARE-001
version: 1
title: Share
criteria:
  - id: AC-SHARE-001
    title: Most
    statement: Most are right.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-SHARE-001, uses: share, thresholds: {share: {holds_if: ">= 50 %"}}}
"""
BOTH = "known_good(good), known_bad(bad)"

Made = Callable[..., tuple[list[Spec], Registry]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """made("known_good(good), …"): a spec, and the registry of a falsifier with these controls."""
    names = []

    def make(controls: str, guard: str = "") -> tuple[list[Spec], Registry]:
        path = tmp_path / "share.py"
        path.write_text(FALSIFIER.format(controls=controls, guard=guard), encoding="utf-8")
        (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
        module = _load(path)
        names.append(module.__name__)
        registry = Registry()
        registry.add_from(vars(module))
        return [load_spec(tmp_path / "spec.yaml").spec], registry

    yield make
    for name in names:
        sys.modules.pop(name, None)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("share_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _excuse(change: str) -> str:
    return f"[[mutant]]\nfalsifier = 'share'\nchanges = [{json.dumps(change)}]\nreason = 'no'\n"


def mutable(made: tuple[list[Spec], Registry]) -> tuple[list[FalsifierUse], Registry]:
    """What kill_matrix wants of a spec."""
    return uses_of(made[0]), made[1]


def test_controls_alone_give_what_they_must(made: Made) -> None:
    """Good, bad and unusable inputs, with nothing but the spec and the falsifier."""
    trials = list(try_uses(*made(f"{BOTH}, known_unusable(too_few)"), NoRun()))
    assert [trial.state for trial in trials] == ["behaved"] * 3
    assert [trial.result.observed for trial in trials if trial.result] == ["corroborated", "falsified", "error"]


def test_a_control_that_is_wrong_misbehaves(made: Made) -> None:
    """A bad input that is declared good, and a good one that is declared unusable."""
    trials = list(try_uses(*made(f"{BOTH}, known_good(bad, name='b'), known_unusable(good, name='c')"), NoRun()))
    assert [trial.state for trial in trials] == ["behaved", "behaved", "misbehaved", "misbehaved"]


@pytest.mark.parametrize(
    ("control", "observed", "reason"),
    [
        ("too_few", "error", "too few were asked"),
        ("too_few, raises=ValueError", "error", "too few were asked"),
        ("too_few, raises=(KeyError, ValueError)", "error", "too few were asked"),
        ("too_few, raises=KeyError", "not_run", ": ValueError: too few were asked"),
        ("of_another_type", "error", ": TypeError"),
        ("of_another_type, raises=ValueError", "not_run", ": TypeError"),
        ("unbuildable", "not_run", "ValueError: the control's own bug"),
        ("dead", "not_run", "exit status 3 before it answered"),
    ],
)
def test_only_the_falsifiers_own_exception_is_a_refusal(made: Made, control: str, observed: str, reason: str) -> None:
    """Of a type that the control names, where it names one: neither a bug nor a death passes for a guard."""
    (*_, trial) = try_uses(*made(f"{BOTH}, known_unusable({control})"), NoRun())
    assert trial.result is not None
    assert (trial.result.observed, trial.result.behaved) == (observed, observed == "error")
    assert reason in trial.result.reason


def test_a_control_that_needs_a_run_says_so(made: Made) -> None:
    """It neither behaved nor misbehaved: it was not tried."""
    trials = list(try_uses(*made(f"{BOTH}, known_good(tampered)"), NoRun()))
    assert [trial.state for trial in trials] == ["behaved", "behaved", "needs a run"]
    with pytest.raises(EvidenceError, match="run's own evidence"):
        NoRun()["answers"]


def test_a_guard_that_no_control_needs_is_a_survivor(made: Made) -> None:
    """Until a control shows that its input is refused."""
    survivors = [fate.change for fate in kill_matrix(*mutable(made(BOTH)), NoRun()).fates if fate.survived]
    assert any("remove the guard" in change for change in survivors)
    again = kill_matrix(*mutable(made(f"{BOTH}, known_unusable(too_few)")), NoRun())
    assert not any("remove the guard" in fate.change for fate in again.fates if fate.survived)
    (guard,) = [fate for fate in again.fates if "remove the guard" in fate.change]
    assert guard.killed_by == ("F-SHARE-001/too few",)


def test_the_first_control_that_notices_is_enough(made: Made) -> None:
    """One name for each mutant that had several, and the same survivors."""
    uses, registry = mutable(made(BOTH))
    whole, quick = (kill_matrix(uses, registry, NoRun(), first=first) for first in (False, True))
    assert {len(fate.killed_by) for fate in quick.fates} == {0, 1}
    assert {len(fate.killed_by) for fate in whole.fates} == {0, 1, 2}
    fates = {fate.number: fate.killed_by[:1] for fate in whole.fates}
    assert {fate.number: fate.killed_by for fate in quick.fates} == fates
    assert sorted(fates) == list(range(1, whole.falsifiers[0].mutants + 1))


def test_a_mutant_that_ends_the_process_takes_no_other_along(made: Made) -> None:
    """All mutants share one process, unless one of them ends it: then each control of each has its own."""
    fates = kill_matrix(*mutable(made(BOTH)), NoRun()).fates
    deadly = kill_matrix(*mutable(made(BOTH, "\n    if found['all'] > 99:\n        os._exit(3)")), NoRun()).fates
    known = {fate.change: fate.killed_by for fate in deadly}
    assert known["Gt -> LtE: found['all'] > 99"] == ("F-SHARE-001/good", "F-SHARE-001/bad")
    assert {fate.change: fate.killed_by for fate in fates}.items() <= known.items()


def test_survivors_come_first_and_the_score_counts_the_killed(made: Made) -> None:
    """What is to be looked at stands at the top, as file and line."""
    matrix = kill_matrix(*mutable(made(BOTH)), NoRun())
    states = [fate.survived for fate in matrix.fates]
    assert states == sorted(states, reverse=True)
    assert any(states)
    assert matrix.fates[0].place.startswith("share.py:")
    assert matrix.score == pytest.approx(100 * states.count(False) / len(states))


def test_constants_in_place_of_a_measurement_are_noticed(made: Made) -> None:
    """Whatever the constant, one of the two controls is on the other side of the bar."""
    fates = {fate.change.split(":")[0]: fate for fate in kill_matrix(*mutable(made(BOTH)), NoRun()).fates}
    assert [fates[f"measure always {number}"].killed_by for number in (0, 1, -1)] == [("F-SHARE-001/good",)] * 3
    assert len(fates["drop the measurement"].killed_by) == 2


def test_an_accepted_mutant_needs_its_reason_and_its_mutant(made: Made, tmp_path: Path) -> None:
    """What is excused is left out of the score; an excuse for nothing is an error."""
    specs, registry = made(BOTH)
    survivors = [fate.change for fate in kill_matrix(uses_of(specs), registry, NoRun()).fates if fate.survived]
    rows = "".join(_excuse(each) for each in survivors)
    (tmp_path / ACCEPTED).write_text(rows, encoding="utf-8")
    matrix = kill_matrix(uses_of(specs), registry, NoRun())
    assert matrix.score == 100
    assert sum(bool(fate.accepted) for fate in matrix.fates) == len(survivors)
    (tmp_path / ACCEPTED).write_text(rows + _excuse("gone"), encoding="utf-8")
    with pytest.raises(UsageError, match="excuses 1 mutants"):
        kill_matrix(uses_of(specs), registry, NoRun())


def test_controls_and_bars_are_no_mutants(made: Made) -> None:
    """Only what decides a measurement is changed: not the controls, and not the sample size beside it."""
    _, registry = made(BOTH)
    lines = {mutant.line for mutant in mutants_of(registry["share"])}
    text = registry["share"].file.read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(text[line - 1].startswith("    ") and "bench" not in text[line - 1] for line in lines)
    assert not any("max" in mutant.change.split(":")[0] for mutant in mutants_of(registry["share"]))


def test_the_command_tells_people_and_programs(cli: Callable[..., object], made: Made, tmp_path: Path) -> None:
    """Exit status 0 when all behaved; 1 when a mutant survived, with its place."""
    made(BOTH)
    arguments = ["controls", "--spec", tmp_path / "spec.yaml", "--falsifiers", tmp_path]
    ended = cli(*arguments)
    assert ended.returncode == 0  # type: ignore[attr-defined]
    assert "controls 2/2 behaved" in ended.stdout  # type: ignore[attr-defined]
    found = cli(*arguments, "--mutate", "--json")
    assert found.returncode == 1  # type: ignore[attr-defined]
    matrix = json.loads(found.stdout)  # type: ignore[attr-defined]
    assert matrix["survived"] == sum(not fate["killed_by"] for fate in matrix["fates"]) > 0
    assert 0 < matrix["score"] < 100
    assert str(Outcome.CORROBORATED) in cli(*arguments, "--json").stdout  # type: ignore[attr-defined]


def test_a_falsifier_whose_controls_misbehave_is_not_mutated(
    made: Made,
) -> None:
    """Its own misbehaviour would count as a kill of every mutant."""
    specs, registry = made("known_good(bad), known_bad(good)")
    with pytest.raises(UsageError, match="controls of 'share' misbehave without any mutation: bad, good"):
        kill_matrix(uses_of(specs), registry, {})
