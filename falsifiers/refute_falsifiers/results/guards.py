"""Is a benchmark there and whole, and do latency, cost or size stay below their limits?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats
from refute_falsifiers.results._items import ITEMS, NEED, PARAMETERS, put, rows_of, run_of

_BUMPS = (0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3, 0.2, -0.1, 0.15, -0.25, -0.05)


def _complete(bench: Bench, **wrong: int) -> None:
    """As many items, and answers without a score, as the bars want, but for what is `wrong`."""
    items = bench.values({"items": 400}, wrong, low=1, high=10_000, whole=True)["items"]
    errors = bench.values({"errors": 0}, wrong, low=0, high=items, whole=True)["errors"]
    scores = [None if n < errors else 1.0 for n in range(items)]
    others = rows_of([None] * (items + 3), side="baseline")
    put(bench, [*rows_of(scores), *others], run_of())


def all_items_there(bench: Bench) -> None:
    """As many as there should be, each with a score."""
    _complete(bench)


def too_few_items(bench: Bench) -> None:
    """A part of the benchmark."""
    _complete(bench, items=10)


def answers_without_a_score(bench: Bench) -> None:
    """Some came to nothing."""
    _complete(bench, errors=1)


def no_results(bench: Bench) -> None:
    """The benchmark was not run."""
    put(bench, [])


@falsifier(
    "benchmark-complete",
    needs=(NEED,),
    measures={"items": "items", "errors": "answers"},
    parameters={"benchmark": PARAMETERS["benchmark"]},
    controls=(
        known_good(all_items_there),
        known_bad(too_few_items),
        known_bad(answers_without_a_score),
        known_unusable(no_results, raises=ValueError),
    ),
)
def benchmark_complete(context: Context) -> Iterator[Measurement]:
    """Refuted when `benchmark` was not run on all items, or answers have no score. Without results it is an error."""
    name = context.parameters["benchmark"]
    rows = [r for r in context.evidence(NEED).rows(ITEMS) if r["benchmark"] == name and r["side"] == "student"]
    if not rows:
        raise ValueError(f"the release has no results of the student on {name!r}")
    yield Measurement("items", len({row["item"] for row in rows}), "items", n=len(rows))
    yield Measurement("errors", sum(row["score"] is None for row in rows), "answers", n=len(rows))


def _guarded(bench: Bench, *, failing: bool = False, unsure: bool = False) -> None:
    """Figures around a mean that clears the bar or fails it, or is unsure."""
    bar = bench.bar("mean")
    mean = bar.failing(1e6, clear=True) if failing else bar.holding(1.0, clear=True)
    varies = max(9.1, 20 * abs(mean - bar.bound)) if unsure else min(0.1, bar.room(mean))
    others = rows_of([mean + 1000.0, mean - 3000.0], side="baseline")
    put(bench, [*rows_of([mean + varies * bump for bump in _BUMPS]), *others], run_of())


def below_the_limit(bench: Bench) -> None:
    """1 of what is measured, or as little as the bar wants."""
    _guarded(bench)


def far_above_the_limit(bench: Bench) -> None:
    """A million."""
    _guarded(bench, failing=True)


def a_mean_that_varies(bench: Bench) -> None:
    """Below in the mean, and by less than it varies."""
    _guarded(bench, unsure=True)


def a_measurement_that_failed(bench: Bench) -> None:
    """One has no value."""
    put(bench, rows_of([*_BUMPS, None]), run_of())


@falsifier(
    "benchmark-guardrail",
    needs=(NEED,),
    measures={"mean": "units"},
    parameters={"benchmark": PARAMETERS["benchmark"]},
    controls=(
        known_good(below_the_limit),
        known_bad(far_above_the_limit),
        known_open(a_mean_that_varies),
        known_unusable(a_measurement_that_failed, raises=ValueError),
        known_unusable(no_results, raises=ValueError),
    ),
)
def benchmark_guardrail(context: Context) -> Iterator[Measurement]:
    """Refuted when the mean of figures that are no shares, such as seconds, bytes or cost, is not below its limit."""
    name = context.parameters["benchmark"]
    rows = [r for r in context.evidence(NEED).rows(ITEMS) if r["benchmark"] == name and r["side"] == "student"]
    values = [math.nan if row["score"] is None else float(row["score"]) for row in rows]
    mean, interval = stats.clustered_mean(values, [row["item"] for row in rows])
    yield Measurement("mean", mean, "units", n=len(rows), interval=interval)
