"""Two small falsifiers, in a file of their own so that a judge can load them afresh."""

from __future__ import annotations

from collections.abc import Iterator

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, stats


def _rows(right: int, n: int = 100) -> list[dict[str, object]]:
    return [{"right": number < right} for number in range(n)]


def all_right(bench: Bench) -> None:
    """A hundred right answers."""
    bench.put("answers", "answers.jsonl", _rows(100))


def half_right(bench: Bench) -> None:
    """Fifty right answers of a hundred."""
    bench.put("answers", "answers.jsonl", _rows(50))


def three_answers(bench: Bench) -> None:
    """Three right answers, and no more."""
    bench.put("answers", "answers.jsonl", _rows(3, 3))


@falsifier(
    "tiny-accuracy",
    needs=("answers",),
    measures={"accuracy": "%"},
    controls=(known_good(all_right), known_bad(half_right)),
)
def tiny_accuracy(context: Context) -> Iterator[Measurement]:
    """Refuted when too few answers are right."""
    rows = context.evidence("answers").rows("answers.jsonl")
    right = sum(row["right"] for row in rows)
    yield Measurement("accuracy", 100 * right / len(rows), "%", len(rows), stats.wilson_interval(right, len(rows)))


@falsifier(
    "tiny-size",
    needs=("answers", "notes"),
    measures={"rows": "rows"},
    controls=(known_good(all_right), known_bad(three_answers)),
)
def tiny_size(context: Context) -> Iterator[Measurement]:
    """Refuted when there are few answers."""
    rows = context.evidence("answers").rows("answers.jsonl")
    yield Measurement("rows", len(rows), "rows", n=1)
