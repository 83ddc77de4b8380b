"""Items of one benchmark as falsifiers read them, and as controls lay them out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refute import Bench, Context

NEED, ITEMS, RUNS = "results", "items.jsonl", "runs.jsonl"
Row = dict[str, Any]
PARAMETERS: Mapping[str, Any] = {"benchmark": "benchmark", "allowed_error_share": 0.0}


@dataclass(frozen=True, slots=True)
class Side:
    """A share of passes for each item: where answers without a score count as failed, and where as passed."""

    low: Mapping[str, float]
    high: Mapping[str, float]
    rows: Mapping[str, Sequence[Row]]
    run: Row

    def values(self, name: str) -> list[str]:
        """What the field `name` is, for each item. Raises ValueError for an item that has none."""
        found = [rows[0]["fields"].get(name) for rows in self.rows.values()]
        if None in found:
            raise ValueError(f"{found.count(None)} of {len(found)} items have no field {name!r}")
        return [str(each) for each in found]


def side(context: Context, name: str) -> Side:
    """The answers of `name` to the benchmark of this use, in the order of its items.

    Raises ValueError where there are none, where a score is no share, and where more of them have no score than
    `allowed_error_share`.
    """
    benchmark, evidence = str(context.parameters["benchmark"]), context.evidence(NEED)
    rows = [row for row in evidence.rows(ITEMS) if (row["benchmark"], row["side"]) == (benchmark, name)]
    runs = [row for row in evidence.rows(RUNS) if (row["benchmark"], row["side"]) == (benchmark, name)]
    if not rows or len(runs) != 1:
        raise ValueError(f"the release has {len(rows)} results of the {name} on {benchmark!r}, in {len(runs)} files")
    _require_scores(rows, float(context.parameters["allowed_error_share"]))
    by_item = defaultdict[str, list[Row]](list)
    for row in rows:
        by_item[row["item"]].append(row)
    return Side(_shares(by_item, 0.0), _shares(by_item, 1.0), by_item, runs[0])


def _require_scores(rows: Sequence[Row], allowed: float) -> None:
    errors = [row for row in rows if row["score"] is None]
    if Fraction(len(errors), len(rows)) > Fraction(str(allowed)):
        raise ValueError(
            f"{len(errors)} of {len(rows)} answers have no score, {allowed:.2%} may: {errors[0]['item']}: "
            f"{errors[0]['error']}"
        )
    wrong = [row for row in rows if row["score"] is not None and not 0.0 <= row["score"] <= 1.0]
    if wrong:
        raise ValueError(f"{wrong[0]['item']}: the score {wrong[0]['score']} is no share; name a metric from 0 to 1")


def _shares(by_item: Mapping[str, Sequence[Row]], lost: float) -> dict[str, float]:
    return {
        item: sum(lost if row["score"] is None else row["score"] for row in rows) / len(rows)
        for item, rows in by_item.items()
    }


def rows_of(
    scores: Iterable[float | None], *, side: str = "student", benchmark: str = "benchmark", samples: int = 1
) -> list[Row]:
    """Rows of a benchmark for a control: `scores` item by item, the samples of one item after each other.

    Items come in clusters of four, and in two categories by turns.
    """
    return [
        {
            "benchmark": benchmark,
            "side": side,
            "item": f"{n // samples:05}",
            "sample": n % samples,
            "score": score,
            "error": None if score is not None else "no answer",
            "prompt_sha256": f"{n // samples:064x}",
            "fields": {"document": str(n // samples // 4), "category": "even" if n // samples % 2 == 0 else "odd"},
        }
        for n, score in enumerate(scores)
    ]


def run_of(*, side: str = "student", benchmark: str = "benchmark", **changes: Any) -> Row:
    """What is said of the run of one side, for a control."""
    settings = {"n-shot": "5"}
    return {"benchmark": benchmark, "side": side, "metric": "acc", "settings": settings, "tool": "by hand"} | changes


def put(bench: Bench, rows: Sequence[Row], *runs: Row) -> None:
    """Lay out results, among those of others that nobody asks for; fields are called as the use calls them."""
    name = str(bench.parameters["benchmark"])
    called = {"document": bench.parameters.get("cluster"), "category": bench.parameters.get("by")}
    others = [*rows_of([1.0] * 8, benchmark=f"{name}-other"), *rows_of([0.0] * 8, benchmark=f"{name}-else")]
    known = [
        {**row, "benchmark": name, "fields": {str(called[field]): value for field, value in row["fields"].items()}}
        for row in rows
    ]
    bench.put(NEED, ITEMS, [*others, *known])
    bench.put(NEED, RUNS, [run_of(benchmark=f"{name}-other"), *({**run, "benchmark": name} for run in runs)])


def allowed_errors(bench: Bench, rows: int) -> int:
    """How many of `rows` answers may have no score by the share of this use."""
    return int(Fraction(str(bench.parameters["allowed_error_share"])) * rows)
