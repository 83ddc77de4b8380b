"""Is held-out loss low, lower than before, and lower than without a teacher?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

_SETTINGS = {"steps": 4, "ce_weight": 0.3, "kd_weight": 0.7, "temperature": 2.0, "learning_rate": 0.001, "seed": 17}
# What must differ between the student's run and its control, and nothing else.
_WEIGHTS = ("ce_weight", "kd_weight")
_BUMPS = (0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3, 0.2, -0.1, 0.15, -0.25, 0.0)


def _windows(initial: float, final: float, spread: float = 0.9) -> list[dict[str, Any]]:
    return [
        {"window": n, "ce_initial": initial + bump, "ce": final + spread * bump, "kl": 1.0}
        for n, bump in enumerate(_BUMPS)
    ]


def _heldout(bench: Bench, initial: float, final: float, steps: int = 500, spread: float = 0.9) -> None:
    bench.put("student", "heldout_windows.jsonl", _windows(initial, final, spread))
    bench.put("student", "summary.json", {"steps": steps})


def loss_that_falls(bench: Bench) -> None:
    """From 9 to 1 nat per token, far below any bar of the spec."""
    _heldout(bench, 9.0, 1.0)


def loss_that_stays(bench: Bench) -> None:
    """9 nat per token before and after."""
    _heldout(bench, 9.0, 9.5)


def too_few_steps(bench: Bench) -> None:
    """The loss falls, in a run of three steps."""
    _heldout(bench, 9.0, 1.0, steps=3)


def loss_that_falls_in_some_windows(bench: Bench) -> None:
    """Lower on the whole, and by less than it varies."""
    _heldout(bench, 9.0, 8.9, spread=20.0)


def loss_that_varies(bench: Bench) -> None:
    """Below both bars in the mean, and by less than it varies."""
    _heldout(bench, 9.0, 2.1, spread=12.0)


@falsifier(
    "held-out-gain",
    needs=("student",),
    measures={"steps": "steps", "ce_drop": "nat/token"},
    controls=(
        known_good(loss_that_falls),
        known_bad(loss_that_stays),
        known_bad(too_few_steps),
        known_open(loss_that_falls_in_some_windows),
    ),
)
def held_out_gain(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out cross-entropy is not lower after the run than before it (paired by window)."""
    student = context.evidence("student")
    rows = student.rows("heldout_windows.jsonl")
    drop, interval = stats.mean_interval([row["ce_initial"] - row["ce"] for row in rows])
    yield Measurement("ce_drop", drop, "nat/token", n=len(rows), interval=interval)
    yield Measurement("steps", student.json("summary.json")["steps"], "steps", n=1)


@falsifier(
    "held-out-loss",
    needs=("student",),
    measures={"heldout_ce": "nat/token"},
    controls=(known_good(loss_that_falls), known_bad(loss_that_stays), known_open(loss_that_varies)),
)
def held_out_loss(context: Context) -> Iterator[Measurement]:
    """Refuted when cross-entropy on held-out windows, at the released weights, does not clear the bar."""
    rows = context.evidence("student").rows("heldout_windows.jsonl")
    mean, interval = stats.mean_interval([row["ce"] for row in rows])
    yield Measurement("heldout_ce", mean, "nat/token", n=len(rows), interval=interval)


# ------------------------------------------------------------------------------------------------ against CE alone


def _against_control(
    bench: Bench, student: float, control: float, spread: float = 0.9, windows: int = len(_BUMPS), **settings: Any
) -> None:
    bench.put("student", "heldout_windows.jsonl", _windows(9.0, student)[:windows])
    bench.put("ce_control", "heldout_windows.jsonl", _windows(9.0, control, spread))
    bench.put("student", "summary.json", {"effective_config": _SETTINGS})
    alone = {**_SETTINGS, "ce_weight": 1.0, "kd_weight": 0.0, **settings}
    bench.put("ce_control", "summary.json", {"effective_config": alone})


def a_teacher_that_helps(bench: Bench) -> None:
    """The student ends below its control."""
    _against_control(bench, 3.0, 3.5)


def a_teacher_that_harms(bench: Bench) -> None:
    """The student ends above its control."""
    _against_control(bench, 3.5, 3.0)


def a_control_with_fewer_steps(bench: Bench) -> None:
    """The student wins against a control that was given half the steps."""
    _against_control(bench, 3.0, 3.5, steps=2)


def a_control_that_was_taught_too(bench: Bench) -> None:
    """The control had the teacher as well: nothing was compared."""
    _against_control(bench, 3.0, 3.5, ce_weight=0.3, kd_weight=0.7)


def a_gain_that_may_be_chance(bench: Bench) -> None:
    """Lower in the mean, and by less than the difference varies."""
    _against_control(bench, 3.0, 3.1, spread=10.0)


def other_windows(bench: Bench) -> None:
    """The student was evaluated on a part of its control's windows."""
    _against_control(bench, 3.0, 3.5, windows=8)


@falsifier(
    "beats-ce-control",
    needs=("student", "ce_control"),
    measures={"ce_gain": "nat/token", "differing_settings": "settings"},
    controls=(
        known_good(a_teacher_that_helps),
        known_bad(a_teacher_that_harms),
        known_bad(a_control_with_fewer_steps),
        known_bad(a_control_that_was_taught_too),
        known_open(a_gain_that_may_be_chance),
        known_unusable(other_windows, raises=ValueError),
    ),
)
def beats_ce_control(context: Context) -> Iterator[Measurement]:
    """Refuted when a control trained without the teacher, all else equal, has no higher held-out loss (paired)."""
    loss = {}
    for name in ("student", "ce_control"):
        rows = context.evidence(name).rows("heldout_windows.jsonl")
        loss[name] = {row["window"]: row["ce"] for row in rows}
    student, control = loss["student"], loss["ce_control"]
    if student.keys() != control.keys():
        raise ValueError("student and control were evaluated on different windows")
    gain, interval = stats.mean_interval([control[window] - student[window] for window in sorted(student)])
    yield Measurement("ce_gain", gain, "nat/token", n=len(student), interval=interval)
    own, other = (context.evidence(name).json("summary.json")["effective_config"] for name in ("student", "ce_control"))
    differing = sum(own[name] != other.get(name) for name in own if name not in _WEIGHTS)
    differing += (other["ce_weight"], other["kd_weight"]) != (1.0, 0.0)
    yield Measurement("differing_settings", differing, "settings", n=len(own))
