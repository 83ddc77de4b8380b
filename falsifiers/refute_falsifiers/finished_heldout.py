"""How a finished student does on held-out text: its loss, its gain over its init, its distance to its teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable
from refute_falsifiers._windows import PLACES, over_files, put_files, unusable_places

Row = dict[str, Any]
_NEED, _FILE = "student_heldout", "windows.jsonl"
# What the windows of a file have in common. Twelve files of two windows: the interval is an eighth of what they vary.
_BUMPS = (0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3, 0.2, -0.1, 0.15, -0.25, 0.0)
_WINDOWS = 2 * len(_BUMPS)
_NOTHING_LEARNT = 9.5  # nat per token: a guess among 13,000 tokens


def _windows(**figures: tuple[float, float]) -> list[Row]:
    """Two windows of each of twelve files. `figures`: the mean of each, and how many times `_BUMPS` it varies."""
    other = {"ce_init": None, "ce_teacher": None, "kl": None, "agreement": None}
    return [
        {"window": 2 * n + half, "ce": 2.0, **other}
        | {name: mean + varies * bump for name, (mean, varies) in figures.items()}
        for n, bump in enumerate(_BUMPS)
        for half in (0, 1)
    ]


def _figure(
    bench: Bench,
    name: str,
    right: float,
    wrong: float | None = None,
    *,
    unsure: bool = False,
    low: float = -math.inf,
    high: float = math.inf,
) -> tuple[float, float]:
    """A mean that holds the bar of `name`, or fails it near `wrong`, and how much it varies: `unsure`, over the bar."""
    bar = bench.bar(name)
    find, value = (bar.holding, right) if wrong is None else (bar.failing, wrong)
    mean = find(value, low=low, high=high, clear=True)
    if unsure:
        return mean, max(9.1, 20 * abs(mean - bar.bound))
    return mean, min(0.1, bar.room(mean))


def _put(bench: Bench, rows: list[Row]) -> None:
    """Windows, two of each file."""
    bench.put(_NEED, _FILE, rows)
    put_files(bench, _WINDOWS, of_a_file=2)


def _mean(context: Context, rows: list[Row], name: str, unit: str, value: Callable[[Row], float]) -> Measurement:
    """Mean over windows, those of one file counted as alike as they are. Raises as `over_files` does."""
    return over_files(context, {row["window"]: value(row) for row in rows}, name, unit)


def _rows(context: Context) -> list[Row]:
    return list(context.evidence(_NEED).rows_by(_FILE, "window").values())


def _compared(context: Context, figure: str) -> list[Row]:
    """The windows. Raises ValueError where one has no such figure: that model was not asked."""
    rows = _rows(context)
    if any(row[figure] is None for row in rows):
        raise ValueError(f"not every window has `{figure}`: that model was not asked")
    return rows


def low_loss(bench: Bench) -> None:
    """1 nat per token, or as little as the bar wants."""
    _put(bench, _windows(ce=_figure(bench, "heldout_ce", 1.0, low=0.0)))


def high_loss(bench: Bench) -> None:
    """9.5 nat per token, as of a model that learnt nothing."""
    figure = _figure(bench, "heldout_ce", 1.0, _NOTHING_LEARNT, low=0.0, high=_NOTHING_LEARNT)
    _put(bench, _windows(ce=figure))


def loss_that_varies(bench: Bench) -> None:
    """Below the bar in the mean, and by less than it varies from file to file."""
    _put(bench, _windows(ce=_figure(bench, "heldout_ce", 2.1, unsure=True, low=0.0)))


@falsifier(
    "student-held-out-loss",
    needs=(_NEED, PLACES),
    measures={"heldout_ce": "nat/token"},
    controls=(
        known_good(low_loss),
        known_bad(high_loss),
        known_open(loss_that_varies),
        *unusable_places(low_loss, _WINDOWS),
    ),
)
def student_held_out_loss(context: Context) -> Iterator[Measurement]:
    """Refuted when the finished student's cross-entropy on held-out windows does not clear the bar."""
    yield _mean(context, _rows(context), "heldout_ce", "nat/token", lambda row: float(row["ce"]))


def _gained(bench: Bench, gain: tuple[float, float]) -> None:
    """An init as far above the student as `gain` says; both vary by much, and alike."""
    rows = _windows(ce=(3.0, 1.0), ce_init=gain)
    _put(bench, [row | {"ce_init": row["ce"] + row["ce_init"]} for row in rows])


def an_init_that_was_worse(bench: Bench) -> None:
    """The student is half a nat below its init, or as far as the bar wants it."""
    _gained(bench, _figure(bench, "ce_gain", 0.5))


def an_init_that_was_better(bench: Bench) -> None:
    """Training made it worse."""
    _gained(bench, _figure(bench, "ce_gain", 0.5, -0.5))


def a_gain_that_may_be_chance(bench: Bench) -> None:
    """Lower in the mean, and by less than the difference varies."""
    _gained(bench, _figure(bench, "ce_gain", 0.1, unsure=True))


def an_init_that_was_not_asked(bench: Bench) -> None:
    """On one window of all."""
    first, *rows = _windows(ce=(1.0, 0.1), ce_init=(2.0, 0.1))
    _put(bench, [first | {"ce_init": None}, *rows])


@falsifier(
    "student-gain-over-init",
    needs=(_NEED, PLACES),
    measures={"ce_gain": "nat/token"},
    controls=(
        known_good(an_init_that_was_worse),
        known_bad(an_init_that_was_better),
        known_open(a_gain_that_may_be_chance),
        known_unusable(an_init_that_was_not_asked, raises=ValueError),
        *unusable_places(an_init_that_was_worse, _WINDOWS),
    ),
)
def student_gain_over_init(context: Context) -> Iterator[Measurement]:
    """Refuted when held-out cross-entropy of the finished student is not below that of its init (paired by window)."""
    rows = _compared(context, "ce_init")
    yield _mean(context, rows, "ce_gain", "nat/token", lambda row: float(row["ce_init"] - row["ce"]))


def _near(bench: Bench, wrong: Mapping[str, float] | None = None, *, unsure: str = "") -> list[Row]:
    """A student as near to its teacher as the bars demand, but for what is `wrong` or `unsure`."""
    wrong = wrong or {}
    failed = [name for name in wrong if name in bench.bars]
    if wrong and not failed:
        bench.bar(next(iter(wrong))).failing()
    kl = _figure(bench, "kl", 0.125, wrong.get("kl") if "kl" in failed else None, unsure=unsure == "kl", low=0.0)
    percent = _figure(
        bench,
        "agreement",
        90.0,
        wrong.get("agreement") if "agreement" in failed else None,
        unsure=unsure == "agreement",
        low=0.0,
        high=100.0,
    )
    return _windows(kl=kl, agreement=percent, ce_teacher=(1.0, 0.1))


def a_student_like_its_teacher(bench: Bench) -> None:
    """An eighth of a nat away, and with the same token in nine of ten places, or what the bars want."""
    _put(bench, _near(bench))


def a_student_far_from_its_teacher(bench: Bench) -> None:
    """Five nat away."""
    _put(bench, _near(bench, {"kl": 5.0}))


def a_student_with_other_favourites(bench: Bench) -> None:
    """It finds the teacher's token likeliest in one place of twenty."""
    _put(bench, _near(bench, {"agreement": 5.0}))


def a_distance_that_varies(bench: Bench) -> None:
    """Near in the mean, and by less than it varies."""
    _put(bench, _near(bench, unsure="kl"))


def a_teacher_that_was_not_asked(bench: Bench) -> None:
    """On one window of all."""
    first, *rows = _near(bench)
    _put(bench, [first | {"kl": None}, *rows])


@falsifier(
    "student-near-teacher",
    needs=(_NEED, PLACES),
    measures={"kl": "nat/token", "agreement": "%"},
    controls=(
        known_good(a_student_like_its_teacher),
        known_bad(a_student_far_from_its_teacher),
        known_bad(a_student_with_other_favourites),
        known_open(a_distance_that_varies),
        known_unusable(a_teacher_that_was_not_asked, raises=ValueError),
        *unusable_places(a_student_like_its_teacher, _WINDOWS),
    ),
)
def student_near_teacher(context: Context) -> Iterator[Measurement]:
    """Refuted when the finished student's distribution on held-out text is further from its teacher's than the bar.

    `agreement` is the share of positions at which both find the same token likeliest.
    """
    rows = _compared(context, "kl")
    yield _mean(context, rows, "kl", "nat/token", lambda row: float(row["kl"]))
    yield _mean(context, rows, "agreement", "%", lambda row: float(row["agreement"]))
