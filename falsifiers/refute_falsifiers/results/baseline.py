"""A benchmark against a baseline: the same items, asked in the same way, judged on the interval of the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats
from refute_falsifiers.results._figures import difference, spanning
from refute_falsifiers.results._items import (
    NEED,
    PARAMETERS,
    Row,
    Side,
    allowed_errors,
    put,
    rows_of,
    run_of,
    side,
)

_ITEMS = 400
# How many items a student gains and loses, and how many of its last answers have no score.
Change = tuple[int, int, int]


def _pair(change: Change) -> tuple[list[float | None], list[float]]:
    """Of four hundred items the baseline solves half; the student's changes against it are spread over the items."""
    gained, lost, errors = change
    old = [float(n % 2) for n in range(_ITEMS)]
    new = list(old)
    for kind, count in ((0, gained), (1, lost)):
        places = range(kind, _ITEMS, 2)
        for place in (places[n * len(places) // max(count, 1)] for n in range(count)):
            new[place] = 1.0 - new[place]
    return [*new[: _ITEMS - errors], *[None] * errors], old


_CHANGES = ((4, 4), (0, 0), (40, 0), (200, 0), (0, 40), (0, 200), *((n, 0) for n in range(2, 200, 6)))
_OTHERS = tuple((0, n) for n in range(2, 200, 6))


@cache
def _measured(change: Change, clustered: bool) -> tuple[Measurement, ...]:
    """What is measured of a change: the same for all controls, whose bars alone differ."""
    scores, old = _pair(change)
    documents = [str(n // 4) for n in range(_ITEMS)] if clustered else None
    readings = [[lost if each is None else each for each in scores] for lost in (0.0, 1.0)]
    points, points_interval = spanning(*(difference(new, old, documents) for new in readings))
    share, share_interval = spanning(*(stats.relative_change(new, old) for new in readings))
    return (
        Measurement("difference", points, "points", n=_ITEMS, interval=points_interval),
        Measurement("relative_change", share, "%", n=_ITEMS, interval=share_interval),
    )


def _put_pair(
    bench: Bench, *, errors: int = 0, failing: Sequence[str] = (), unsure: Sequence[str] = (), **changes: Any
) -> tuple[list[Row], list[Row]]:
    """A student and a baseline whose difference is on the side of the bar that is wanted."""
    clustered = "cluster" in bench.parameters
    candidates = [(gained, lost, errors) for gained, lost in (*_CHANGES, *_OTHERS)]
    change = bench.choose(candidates, lambda each: _measured(each, clustered), failing=failing, unsure=unsure)
    new, old = _pair(change)
    rows = rows_of(new), rows_of(old, side="baseline")
    put(bench, [*rows[0], *rows[1]], run_of(**changes), run_of(side="baseline"))
    return rows


def as_good_as_before(bench: Bench) -> None:
    """Next to no item was won or lost, or as many as the bars want."""
    _put_pair(bench)


def worse_than_before(bench: Bench) -> None:
    """Items were lost, so many that both bars refuse it, or the one that there is."""
    bars = [name for name in ("difference", "relative_change") if name in bench.bars]
    _put_pair(bench, failing=bars or ["difference"])


def a_change_that_may_be_chance(bench: Bench) -> None:
    """The interval of the difference reaches over the bar."""
    bars = [name for name in ("difference", "relative_change") if name in bench.bars]
    _put_pair(bench, unsure=bars or ["difference"])


def as_good_besides_errors(bench: Bench) -> None:
    """As many answers without a score as may have none."""
    _put_pair(bench, errors=allowed_errors(bench, _ITEMS))


def failing_items_left_out(bench: Bench) -> None:
    """Of the student's results, those that failed were deleted, and one more lest it solved everything."""
    new, old = _put_pair(bench)
    put(bench, [*(row for row in new[1:] if row["score"] == 1.0), *old], run_of(), run_of(side="baseline"))


def items_of_the_baseline_left_out(bench: Bench) -> None:
    """The baseline was asked fewer."""
    new, old = _put_pair(bench)
    put(bench, [*new, *old[8:]], run_of(), run_of(side="baseline"))


def one_prompt_differs(bench: Bench) -> None:
    """One item was put in another way."""
    new, old = _put_pair(bench)
    put(bench, [{**new[0], "prompt_sha256": "e" * 64}, *new[1:], *old], run_of(), run_of(side="baseline"))


def other_examples_in_the_prompt(bench: Bench) -> None:
    """The student was shown more examples."""
    _put_pair(bench, settings={"n-shot": "8"})


def another_metric(bench: Bench) -> None:
    """What is compared is not the same figure."""
    _put_pair(bench, metric="acc_norm")


def another_tool(bench: Bench) -> None:
    """Two tools seldom ask the same."""
    _put_pair(bench, tool="another")


def fewer_samples_of_the_baseline(bench: Bench) -> None:
    """The student was given two tries at everything."""
    new, old = _put_pair(bench)
    again = [{**row, "sample": 1} for row in new]
    put(bench, [*new, *again, *old], run_of(), run_of(side="baseline"))


def no_baseline(bench: Bench) -> None:
    """The release names the student's results alone."""
    new, _ = _put_pair(bench)
    put(bench, new, run_of())


_CONTROLS = (
    known_good(as_good_as_before),
    known_good(as_good_besides_errors),
    known_bad(worse_than_before),
    known_open(a_change_that_may_be_chance),
    known_unusable(failing_items_left_out, raises=ValueError),
    known_unusable(items_of_the_baseline_left_out, raises=ValueError),
    known_unusable(one_prompt_differs, raises=ValueError),
    known_unusable(other_examples_in_the_prompt, raises=ValueError),
    known_unusable(another_metric, raises=ValueError),
    known_unusable(another_tool, raises=ValueError),
    known_unusable(fewer_samples_of_the_baseline, raises=ValueError),
    known_unusable(no_baseline, raises=ValueError),
)


def _comparable(new: Side, old: Side) -> None:
    """Raise ValueError, naming it, where the two sides were not asked the same in the same way."""
    if new.rows.keys() != old.rows.keys():
        missing = sorted(new.rows.keys() ^ old.rows.keys())
        raise ValueError(f"{len(missing)} items are on one side only, the first is {missing[0]!r}")
    for name in ("tool", "metric", "settings"):
        if new.run[name] != old.run[name]:
            raise ValueError(f"{name} differs: {new.run[name]} of the student, {old.run[name]} of the baseline")
    for item, rows in new.rows.items():
        asked = [[(row["sample"], row["prompt_sha256"]) for row in each] for each in (rows, old.rows[item])]
        if asked[0] != asked[1]:
            raise ValueError(f"{item} was asked in another way, or another number of times, on the two sides")


def _aligned(new: Side, old: Side) -> tuple[list[list[float]], list[list[float]]]:
    """The student's shares at worst and at best, and beside each the baseline's at best and at worst."""
    return [list(new.low.values()), list(new.high.values())], [
        [each[item] for item in new.rows] for each in (old.high, old.low)
    ]


@falsifier(
    "benchmark-against-baseline",
    needs=(NEED,),
    measures={"difference": "points"},
    parameters=PARAMETERS,
    controls=_CONTROLS,
)
def benchmark_against_baseline(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's share on `benchmark` minus its baseline's, paired by item, does not clear the bar.

    `> -5 points` says that it is not worse by more than five, `> 0 points` that it is better.
    """
    new, old = side(context, "student"), side(context, "baseline")
    _comparable(new, old)
    value, interval = spanning(*map(difference, *_aligned(new, old)))
    yield Measurement("difference", value, "points", n=len(new.rows), interval=interval)


@falsifier(
    "benchmark-against-baseline-clustered",
    needs=(NEED,),
    measures={"difference": "points"},
    parameters={**PARAMETERS, "cluster": "document"},
    controls=_CONTROLS,
)
def benchmark_against_baseline_clustered(context: Context) -> Iterator[Measurement]:
    """As `benchmark-against-baseline`, where items that have the field `cluster` in common are alike."""
    new, old = side(context, "student"), side(context, "baseline")
    _comparable(new, old)
    alike = new.values(str(context.parameters["cluster"]))
    value, interval = spanning(*(difference(*each, alike) for each in zip(*_aligned(new, old), strict=True)))
    yield Measurement("difference", value, "points", n=len(new.rows), interval=interval)


@falsifier(
    "benchmark-relative-to-baseline",
    needs=(NEED,),
    measures={"relative_change": "%"},
    parameters=PARAMETERS,
    controls=_CONTROLS,
)
def benchmark_relative_to_baseline(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's share relative to its baseline's has fallen further than the bar allows.

    `>= -5 %` says that it recovers at least 95 % of the baseline, with all of Fieller's interval.
    """
    new, old = side(context, "student"), side(context, "baseline")
    _comparable(new, old)
    value, interval = spanning(*map(stats.relative_change, *_aligned(new, old)))
    yield Measurement("relative_change", value, "%", n=len(new.rows), interval=interval)
