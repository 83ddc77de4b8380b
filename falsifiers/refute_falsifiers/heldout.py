"""Are held-out losses low, lower than before, and lower than without a teacher?"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable
from refute_falsifiers._windows import PLACES, over_files, put_files, unusable_places

Measure = Callable[[Context], Iterator[Measurement]]
How = Literal["usual", "unsure", "alike"]
_SETTINGS = {"steps": 4, "ce_weight": 0.3, "kd_weight": 0.7, "temperature": 2.0, "learning_rate": 0.001, "seed": 17}
# What must differ between the student's run and its control, and nothing else.
_WEIGHTS = ("ce_weight", "kd_weight")
# How much a window differs from the mean: each of a file of its own; or four of each of three files, which are one.
_BUMPS = (0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3, 0.2, -0.1, 0.15, -0.25, 0.0)
_ALIKE = (0.3,) * 4 + (0.0,) * 4 + (-0.3,) * 4


def _windows(
    drop: float, loss: float, *, drop_varies: float = 0.1, loss_varies: float = 0.9, bumps: Sequence[float] = _BUMPS
) -> list[dict[str, Any]]:
    """Losses of each window before and after, with these means; both vary by so many times `bumps`."""
    after = [loss + loss_varies * bump for bump in bumps]
    return [
        {"window": n, "ce_initial": ce + drop + drop_varies * bump, "ce": ce, "kl": 1.0}
        for n, (ce, bump) in enumerate(zip(after, bumps, strict=True))
    ]


def _vary(bench: Bench, name: str, mean: float, at_most: float) -> float:
    """So much that the interval of `mean` stays on its side of the bar: of twelve windows it is an eighth of it."""
    return min(at_most, 2 * bench.bar(name).room(mean))


def _straddle(bench: Bench, name: str, mean: float, at_least: float) -> float:
    """So much that the interval of `mean` reaches over the bar; raises UnbarredError where there is none."""
    return max(at_least, 16 * abs(mean - bench.bar(name).bound))


def _spread(
    bench: Bench, name: str, mean: float, usual: float, unsure: float, how: How
) -> tuple[float, Sequence[float]]:
    """How many times windows vary by which bumps around `mean`, laid out with their files.

    `usual`, or so little that the interval stays on its side of the bar; `unsure`, or so much that it reaches over it;
    or `alike`: it reaches over the bar where windows count as alike as they are, and would not if each counted alone.
    """
    put_files(bench, len(_BUMPS), of_a_file=4 if how == "alike" else 1)
    if how == "alike":
        return max(0.1, 2.8 * abs(mean - bench.bar(name).bound)), _ALIKE
    return (_straddle(bench, name, mean, unsure) if how == "unsure" else _vary(bench, name, mean, usual)), _BUMPS


def _gain(bench: Bench, wrong: Collection[str] = (), drop: float = 8.0, *, how: How = "usual") -> None:
    """A run of which the measurements in `wrong` fail; or whose drop straddles its bar."""
    steps = bench.bar("steps")
    made = steps.failing(3, low=0, whole=True) if "steps" in wrong else steps.holding(500, low=0, whole=True)
    bar = bench.bar("ce_drop")
    mean = bar.failing(drop, clear=True) if "ce_drop" in wrong else bar.holding(drop, clear=True)
    varies, bumps = _spread(bench, "ce_drop", mean, 0.1, 19.0, how)
    bench.put("student", "heldout_windows.jsonl", _windows(mean, 1.0, drop_varies=varies, bumps=bumps))
    bench.put("student", "summary.json", {"steps": made})


def loss_that_falls(bench: Bench) -> None:
    """From 9 to 1 nat per token, or as far as the bar wants it."""
    _gain(bench)


def loss_that_rises(bench: Bench) -> None:
    """9 nat per token before, and more after."""
    _gain(bench, ("ce_drop",), drop=-0.5)


def too_few_steps(bench: Bench) -> None:
    """The loss falls, in a run of three steps."""
    _gain(bench, ("steps",))


def loss_that_falls_in_some_windows(bench: Bench) -> None:
    """Lower on the whole, and by less than it varies."""
    _gain(bench, drop=0.1, how="unsure")


def loss_that_falls_in_some_files(bench: Bench) -> None:
    """Lower on the whole, as clearly as three files can say, which is not clearly."""
    _gain(bench, how="alike")


@falsifier(
    "held-out-gain",
    needs=("student", PLACES),
    measures={"steps": "steps", "ce_drop": "nat/token"},
    controls=(
        known_good(loss_that_falls),
        known_bad(loss_that_rises),
        known_bad(too_few_steps),
        known_open(loss_that_falls_in_some_windows),
        known_open(loss_that_falls_in_some_files),
        *unusable_places(loss_that_falls, len(_BUMPS)),
    ),
)
def held_out_gain(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out cross-entropy is not lower after the run than before it (paired by window)."""
    student = context.evidence("student")
    rows = student.rows_by("heldout_windows.jsonl", "window")
    drops = {window: row["ce_initial"] - row["ce"] for window, row in rows.items()}
    yield over_files(context, drops, "ce_drop", "nat/token")
    yield Measurement("steps", student.json("summary.json")["steps"], "steps", n=1)


def _lead(bench: Bench, lead: float = 1.0, *, failing: bool = False, how: How = "usual") -> None:
    """A teacher whose loss is `lead` below the init's, or as the bar wants it. The student has passed it by."""
    bar = bench.bar("teacher_lead")
    mean = (bar.failing if failing else bar.holding)(lead, clear=True)
    varies, bumps = _spread(bench, "teacher_lead", mean, 0.1, 9.1, how)
    rows = _windows(mean, 3.0, drop_varies=varies, bumps=bumps)
    found = [{"window": row["window"], "ce_initial": row["ce_initial"], "ce_teacher": row["ce"]} for row in rows]
    bench.put(
        "student_redo",
        "heldout.jsonl",
        [row | {"ce": row["ce_teacher"] + (mean if failing else -1.0)} for row in found],
    )


def a_teacher_that_knows_the_text(bench: Bench) -> None:
    """Its loss is lower than that of the model that is to learn from it."""
    _lead(bench)


def a_teacher_that_is_read_wrongly(bench: Bench) -> None:
    """Without the token that begins a text, or with another tokenizer: 8 nat per token, the init 3."""
    _lead(bench, -5.0, failing=True)


def a_lead_that_may_be_chance(bench: Bench) -> None:
    """Lower in the mean, and by less than the difference varies."""
    _lead(bench, 0.1, how="unsure")


def a_lead_in_some_files(bench: Bench) -> None:
    """Lower as clearly as three files can say."""
    _lead(bench, how="alike")


@falsifier(
    "teacher-lead",
    needs=("student_redo", PLACES),
    measures={"teacher_lead": "nat/token"},
    controls=(
        known_good(a_teacher_that_knows_the_text),
        known_bad(a_teacher_that_is_read_wrongly),
        known_open(a_lead_that_may_be_chance),
        known_open(a_lead_in_some_files),
        *unusable_places(a_teacher_that_knows_the_text, len(_BUMPS)),
    ),
)
def teacher_lead(context: Context) -> Iterator[Measurement]:
    """Refuted when the teacher's own loss on held-out windows is not below the init's (paired by window): what reads
    text no better than its pupil, or is given it in a way that it was not trained to read, has nothing to teach."""
    rows = context.evidence("student_redo").rows_by("heldout.jsonl", "window")
    leads = {window: row["ce_initial"] - row["ce_teacher"] for window, row in rows.items()}
    yield over_files(context, leads, "teacher_lead", "nat/token")


_NOTHING_LEARNT = 9.5  # nat per token: a guess among 13,000 tokens
_LOSSES = ("ce", "kl")


def _loss(bench: Bench, *preferred: float, failing: bool = False, how: How = "usual") -> None:
    """Windows with this mean of the loss that is asked for, or another on that side of the bar; the other loss is far
    on the other side."""
    of = str(bench.parameters["loss"])
    bar = bench.bar(f"heldout_{of}")
    # A bar that lets a model through which learnt nothing is none.
    high = _NOTHING_LEARNT if failing else math.inf
    mean = (bar.failing if failing else bar.holding)(*preferred, low=0.0, high=high, clear=True)
    varies, bumps = _spread(bench, f"heldout_{of}", mean, 0.9, 12.0, how)
    other = {name: 0.0 if failing else _NOTHING_LEARNT for name in _LOSSES if name != of}
    rows = _windows(8.0, mean, loss_varies=varies, bumps=bumps)
    bench.put("student", "heldout_windows.jsonl", [{**row, of: row["ce"]} | other for row in rows])


def low_loss(bench: Bench) -> None:
    """1 nat per token, or as little as the bar wants."""
    _loss(bench, 1.0)


def high_loss(bench: Bench) -> None:
    """9.5 nat per token, as of a model that learnt nothing."""
    _loss(bench, _NOTHING_LEARNT, failing=True)


def loss_that_varies(bench: Bench) -> None:
    """Below the bar in the mean, and by less than it varies."""
    _loss(bench, 2.1, how="unsure")


def loss_that_varies_from_file_to_file(bench: Bench) -> None:
    """Below the bar as clearly as three files can say."""
    _loss(bench, 2.1, how="alike")


def _of_both_losses(measure: Measure) -> Measure:
    """The same falsifier for cross-entropy with the data and for KL(teacher || student)."""
    for name, loss in zip(("held-out-loss", "held-out-kl"), _LOSSES, strict=True):
        falsifier(
            name,
            needs=("student", PLACES),
            measures={f"heldout_{loss}": "nat/token"},
            parameters={"loss": loss},
            controls=(
                known_good(low_loss),
                known_bad(high_loss),
                known_open(loss_that_varies),
                known_open(loss_that_varies_from_file_to_file),
                *unusable_places(low_loss, len(_BUMPS)),
            ),
        )(measure)
    return measure


@_of_both_losses
def held_out_loss(context: Context) -> Iterator[Measurement]:
    """Refuted when a loss on held-out windows, at the released weights, does not clear the bar."""
    loss = str(context.parameters["loss"])
    rows = context.evidence("student").rows_by("heldout_windows.jsonl", "window")
    losses = {window: row[loss] for window, row in rows.items()}
    yield over_files(context, losses, f"heldout_{loss}", "nat/token")


# ------------------------------------------------------------------------------------------------ against CE alone


# The control's settings where they differ from the student's, in the order in which they are taken for it.
_OTHERS = {"steps": 2, "temperature": 4.0, "learning_rate": 0.01, "seed": 18, "weights": None}


def _against_control(
    bench: Bench,
    gain: float = 0.5,
    *,
    differing: Sequence[str] = (),
    failing: bool = False,
    how: How = "usual",
    windows: int = len(_BUMPS),
) -> None:
    """A control that ends `gain` above the student in the loss that is asked for, or as the bar wants it; not, where it
    is to be `failing`. In the other loss it is the other way round.

    Its settings differ in `differing`, and in as many others as the bar then allows or demands.
    """
    of = str(bench.parameters["loss"])
    bar, settings = bench.bar(f"{of}_gain"), bench.bar("differing_settings")
    mean = (bar.failing if failing else bar.holding)(gain, clear=True)
    varies, bumps = _spread(bench, f"{of}_gain", mean, 0.1, 9.1, how)
    limits: dict[str, Any] = {"low": len(differing), "high": len(_OTHERS), "whole": True}
    count = int(settings.failing(len(differing), **limits) if differing else settings.holding(0, **limits))
    unlike = [*differing, *(name for name in _OTHERS if name not in differing)][:count]
    # The control is what the student was "before": their difference is the drop.
    rows = _windows(mean, 3.0, drop_varies=varies, bumps=bumps)
    (other_loss,) = (name for name in _LOSSES if name != of)
    ends = (0.0, _NOTHING_LEARNT) if failing else (_NOTHING_LEARNT, 0.0)
    for run, column, end in (("student", "ce", ends[0]), ("ce_control", "ce_initial", ends[1])):
        found = [{"window": row["window"], of: row[column], other_loss: end} for row in rows]
        bench.put(run, "heldout_windows.jsonl", found[: windows if run == "student" else None])
    bench.put("student", "summary.json", {"effective_config": _SETTINGS})
    alone = {} if "weights" in unlike else {"ce_weight": 1.0, "kd_weight": 0.0}
    other = {name: _OTHERS[name] for name in unlike if name != "weights"}
    bench.put("ce_control", "summary.json", {"effective_config": {**_SETTINGS, **alone, **other}})


def a_teacher_that_helps(bench: Bench) -> None:
    """The student ends below its control."""
    _against_control(bench)


def a_teacher_that_harms(bench: Bench) -> None:
    """The student ends above its control."""
    _against_control(bench, -0.5, failing=True)


def a_control_with_fewer_steps(bench: Bench) -> None:
    """The student wins against a control that was given half the steps."""
    _against_control(bench, differing=("steps",))


def a_control_that_was_taught_too(bench: Bench) -> None:
    """The control had the teacher as well: nothing was compared."""
    _against_control(bench, differing=("weights",))


def a_gain_that_may_be_chance(bench: Bench) -> None:
    """Lower in the mean, and by less than the difference varies."""
    _against_control(bench, 0.1, how="unsure")


def a_gain_in_some_files(bench: Bench) -> None:
    """Lower as clearly as three files can say."""
    _against_control(bench, how="alike")


def other_windows(bench: Bench) -> None:
    """The student was evaluated on a part of its control's windows."""
    _against_control(bench, windows=8)


def _of_both_gains(measure: Measure) -> Measure:
    """The same falsifier for cross-entropy with the data and for KL(teacher || student)."""
    for name, loss in zip(("beats-ce-control", "closer-than-ce-control"), _LOSSES, strict=True):
        falsifier(
            name,
            needs=("student", "ce_control", PLACES),
            measures={f"{loss}_gain": "nat/token", "differing_settings": "settings"},
            parameters={"loss": loss},
            controls=(
                known_good(a_teacher_that_helps),
                known_bad(a_teacher_that_harms),
                known_bad(a_control_with_fewer_steps),
                known_bad(a_control_that_was_taught_too),
                known_open(a_gain_that_may_be_chance),
                known_open(a_gain_in_some_files),
                *unusable_places(a_teacher_that_helps, len(_BUMPS)),
                known_unusable(other_windows, raises=ValueError),
            ),
        )(measure)
    return measure


@_of_both_gains
def beats_ce_control(context: Context) -> Iterator[Measurement]:
    """Refuted when a control trained without the teacher, all else equal, ends no higher in that loss (paired)."""
    of = str(context.parameters["loss"])
    loss: dict[str, dict[Any, float]] = {}
    for name in ("student", "ce_control"):
        rows = context.evidence(name).rows_by("heldout_windows.jsonl", "window")
        loss[name] = {window: row[of] for window, row in rows.items()}
    student, control = loss["student"], loss["ce_control"]
    if student.keys() != control.keys():
        raise ValueError("student and control were evaluated on different windows")
    gains = {window: control[window] - student[window] for window in student}
    yield over_files(context, gains, f"{of}_gain", "nat/token")
    own, other = (context.evidence(name).json("summary.json")["effective_config"] for name in ("student", "ce_control"))
    differing = sum(own[name] != other.get(name) for name in own if name not in _WEIGHTS)
    differing += (other["ce_weight"], other["kd_weight"]) != (1.0, 0.0)
    yield Measurement("differing_settings", differing, "settings", n=len(own))
