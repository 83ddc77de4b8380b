"""The built-in falsifiers under anybody's bars: controls move with them, or the bar is refused by name."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest

from builtin_uses import REGISTRY, USES
from refute.check.controls.trials import ControlTrial, NoRun, State, try_use
from refute.falsifier.registry import Falsifier
from refute.outcome import Outcome, Record, RunClass
from refute.spec.bars.decide import control_faults
from refute.spec.criteria import FalsifierUse

pytestmark = pytest.mark.exhaustive

SHIPPED = {use.uses or "": use for use in USES}


def families() -> list[tuple[str, ...]]:
    """The falsifiers by their function: those of one, which differ in whose run they look at, share its controls."""
    found: dict[object, list[str]] = {}
    for name, falsifier in REGISTRY.items():
        found.setdefault(falsifier.measure, []).append(name)
    return [tuple(names) for names in found.values()]


FAMILIES = families()

# Where somebody may put a bar, by unit; of everything that is counted, from 0 to 12.
SENSIBLE = {
    "%": (0, 100),
    "nat/token": (-1, 10),
    "logit": (0, 10),
    "relative": (0, 2),
    "absolute": (0, 2),
    "cosine": (0, 2),
    "steps": (0, 300),
    "tokens": (0, 100_000),
    "ngrams": (0, 1_000_000),
    "words": (0, 60),
    "parameters": (-10, 1_000_000),
    "cosine/kstep": (-3, 3),
}
MEASURED = ("%", "nat/token", "logit", "relative", "absolute", "cosine", "cosine/kstep")
# What a control says where its bar has no such side.
REFUSALS = ("cannot hold", "cannot fail", "no evidence of this kind can make")


MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of folders of its own, as `tempfile` makes them


@pytest.fixture(autouse=True)
def benches_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of benches are thrown away here as soon as they were looked at: no disk need know."""
    if os.access(MEMORY, os.W_OK):
        monkeypatch.setattr(tempfile, "tempdir", str(MEMORY))


def random_bar(unit: str, shipped: str, chance: random.Random) -> str:
    """Mostly with the operator of the shipped bar, and at a number that somebody might write."""
    low, high = SENSIBLE.get(unit, (0, 12))
    number = chance.uniform(low, high)
    shown = f"{number:.3g}" if unit in MEASURED else str(round(number))
    operator = shipped.split()[0] if chance.random() < 0.6 else chance.choice(["<", "<=", ">", ">=", "=="])
    return f"{operator} {shown} {unit}"


def random_uses(names: tuple[str, ...], many: int) -> Iterator[tuple[str, FalsifierUse]]:
    """Uses of these falsifiers with so many random bars in all; some are the shipped ones, some are left out.

    Parameters are as somebody might set them.
    """
    chance = random.Random(names[0])  # noqa: S311  # the same uses in every run
    for name in cycle(names):
        shipped = SHIPPED[name].thresholds
        bars = {measurement: text.model_dump(exclude_none=True) for measurement, text in shipped.items()}
        for measurement, unit in REGISTRY[name].measures.items():
            if "sequential" in bars[measurement]:
                bars[measurement]["holds_if"] = f"{chance.choice(['>', '>=', '<', '<='])} {chance.randint(1, 99)} %"
                many -= 1
            elif chance.random() < 0.15 and len(bars) > 1:
                del bars[measurement]
            elif chance.random() < 0.8 or len(REGISTRY[name].measures) == 1:
                bars[measurement] = {"holds_if": random_bar(unit, bars[measurement]["holds_if"], chance)}
                many -= 1
        given = {"allowed_error_share": round(chance.random() ** 3, 3), "step": chance.choice([100, 100, 100, 50])}
        parameters = {key: value for key, value in given.items() if key in REGISTRY[name].parameters}
        use = {"id": "F-ANY-001", "uses": name, "with": parameters, "thresholds": bars}
        yield name, FalsifierUse.model_validate(use)
        if many <= 0:
            return


def record_of(use: FalsifierUse, trials: list[ControlTrial]) -> Record:
    """What a run would record of these controls; those that need a run are left out."""
    controls = tuple(trial.result for trial in trials if trial.result is not None)
    real = next(control.measurements for control in controls if control.expected is Outcome.CORROBORATED)
    return Record("S", "AC-A", use.id, use.uses or "", Outcome.CORROBORATED, "", RunClass.FULL, real, controls)


def shown(name: str, number: int) -> Falsifier:
    """The falsifier as the use of this number tries it: what cannot be read at all, whatever the bars, in one of four.

    No bar judges it; but it is made of evidence that suits them.
    """
    whole = REGISTRY[name]
    judged = tuple(control for control in whole.controls if control.expected is not Outcome.ERROR)
    return whole if number % 4 == 0 else replace(whole, controls=judged)


@pytest.mark.parametrize("names", FAMILIES, ids=[names[0] for names in FAMILIES])
def test_controls_move_with_a_hundred_random_bars(names: tuple[str, ...]) -> None:
    """Every control behaves, and every bar is shown able to fail; or a control names the bar that cannot be tested.

    Of four counts of faults nearly all bars are nonsense together: then on, until some are not. They are the same bars
    in every run, so that a hundred more would say the same again.
    """
    behaved, tried = 0, 0
    for number, (name, use) in enumerate(random_uses(names, 800)):
        if behaved and tried >= 100:
            break
        tried += len(use.thresholds)
        trials = try_use(shown(name, number), use, NoRun(), apart=False)
        wrong = [trial.result for trial in trials if trial.state is State.MISBEHAVED and trial.result is not None]
        bars = {measurement: text.holds_if for measurement, text in use.thresholds.items()}
        for result in wrong:
            assert any(refusal in result.reason for refusal in REFUSALS), (bars, use.parameters, result)
        if not wrong:
            behaved += 1
            assert control_faults(record_of(use, trials), use) == "", bars
    assert behaved, "not all of these bars are nonsense"


@pytest.mark.parametrize("bar", [5, 12, 30, 40, 80])
def test_a_share_of_solved_problems_may_be_demanded_anywhere(bar: int) -> None:
    """Also where other numbers than the shipped ones decide."""
    behaves("humaneval-pass-at-1", pass_at_1=f">= {bar} %")


@pytest.mark.parametrize("bar", [0.05, 0.5, 1.0, 4.0])
def test_a_held_out_loss_may_be_demanded_anywhere(bar: float) -> None:
    """As above."""
    behaves("held-out-loss", heldout_ce=f"< {bar} nat/token")


def behaves(name: str, **bars: str) -> None:
    """Every control of the falsifier under these bars."""
    texts = {measurement: {"holds_if": text} for measurement, text in bars.items()}
    use = FalsifierUse.model_validate({"id": "F-ANY-001", "uses": name, "thresholds": texts})
    trials = try_use(REGISTRY[name], use, NoRun(), apart=False)
    assert [trial for trial in trials if trial.state is State.MISBEHAVED] == []
    assert control_faults(record_of(use, trials), use) == ""


@pytest.mark.parametrize(
    ("name", "bars", "told"),
    [
        (
            "humaneval-pass-at-1",
            {"pass_at_1": ">= 0 %"},
            "under `pass_at_1: >= 0 %`, no evidence of this kind can make",
        ),
        ("humaneval-pass-at-1", {"pass_at_1": ">= 99 %"}, "can make them hold"),
        ("null-model", {"passes": ">= 0 problems"}, "`passes: >= 0 problems` cannot fail: there is no whole value"),
        (
            "held-out-loss",
            {"heldout_ce": "< 0 nat/token"},
            "`heldout_ce: < 0 nat/token` cannot hold: there is no value",
        ),
        (
            "early-descent",
            {"kl_drop": "> 0 nat/token", "at_step": "== 500 steps"},
            "`at_step: == 500 steps` cannot hold",
        ),
    ],
)
def test_a_bar_without_two_sides_is_refused_by_name(name: str, bars: dict[str, str], told: str) -> None:
    """Of 164 problems none solved is up to 2.3 %, and all of them down to 97.7 %."""
    texts = {measurement: {"holds_if": text} for measurement, text in bars.items()}
    use = FalsifierUse.model_validate({"id": "F-ANY-001", "uses": name, "thresholds": texts})
    found = [trial.result.reason for trial in try_use(REGISTRY[name], use, NoRun(), apart=False) if trial.result]
    assert any(told in reason for reason in found)


KNOWN_BAD = [
    (use, control.name)
    for use in SHIPPED.values()
    for control in REGISTRY[use.uses or ""].controls
    if control.expected is Outcome.FALSIFIED
]


@pytest.mark.parametrize(("use", "name"), KNOWN_BAD, ids=[f"{use.id}-{name}" for use, name in KNOWN_BAD])
def test_a_control_that_is_taken_out_is_missed_or_was_not_alone(use: FalsifierUse, name: str) -> None:
    """Then the record is refused for the bar that only it failed; or another control still fails each bar alone."""
    whole = shipped_trials(use.uses or "")
    assert control_faults(record_of(use, whole), use) == ""
    fault = control_faults(record_of(use, [trial for trial in whole if trial.control != name]), use)
    alone = {measurement for measurement, _ in failed_alone(use, whole, name)}
    others = {measurement for measurement, by in failed_alone(use, whole) if by != name}
    assert sorted(
        bar for bar in use.thresholds if f"shows that {bar}: " in fault or "expected to be falsified" in fault
    ) == sorted(alone - others)


@cache
def shipped_trials(name: str) -> list[ControlTrial]:
    """What the controls of a falsifier gave under its shipped bars."""
    return try_use(REGISTRY[name], SHIPPED[name], NoRun(), apart=False)


def failed_alone(use: FalsifierUse, trials: list[ControlTrial], only: str = "") -> list[tuple[str, str]]:
    """(measurement, control) for each known-bad that misses one bar and clears all others."""
    found = []
    for trial in trials:
        if trial.result is None or trial.result.expected is not Outcome.FALSIFIED or only not in ("", trial.control):
            continue
        values = {each.name: each for each in trial.result.measurements}
        missed = [name for name, text in use.thresholds.items() if not text.parsed().holds_if.holds(values[name].value)]
        if len(missed) == 1:
            found.append((missed[0], trial.control))
    return found


def test_most_controls_can_be_taken_out_of_a_falsifier_and_be_missed() -> None:
    """Gutting it until one known-bad is left costs all other bars."""
    use, trials = SHIPPED["kd-reference"], shipped_trials("kd-reference")
    bad = {trial.control for trial in trials if trial.result and trial.result.expected is Outcome.FALSIFIED}
    gutted = [trial for trial in trials if trial.control not in sorted(bad)[1:]]
    fault = control_faults(record_of(use, gutted), use)
    assert fault.count("none fails it alone") == len(use.thresholds) - 1
