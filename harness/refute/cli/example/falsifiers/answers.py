"""Falsifiers of this repository: they read evidence, return measurements, and leave the judging to the spec."""

from collections.abc import Iterator

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, stats


def all_right(bench: Bench) -> None:
    """A file that the falsifiers must let stand."""
    bench.put("answers", "answers.jsonl", [{"question": n, "expected": n, "answer": n} for n in range(100)])


def mostly_wrong(bench: Bench) -> None:
    """A file whose accuracy no honest measurement can call good."""
    rows = [{"question": n, "expected": n, "answer": n if n < 40 else -1} for n in range(100)]
    bench.put("answers", "answers.jsonl", rows)


def barely_right(bench: Bench) -> None:
    """A file of which 100 answers cannot tell whether it clears 80 %; where the bar moves, this moves with it."""
    rows = [{"question": n, "expected": n, "answer": n if n < 85 else -1} for n in range(100)]
    bench.put("answers", "answers.jsonl", rows)


def one_missing(bench: Bench) -> None:
    """A file in which one question was never answered."""
    rows: list[dict[str, int | None]] = [{"question": n, "expected": n, "answer": n} for n in range(99)]
    bench.put("answers", "answers.jsonl", [*rows, {"question": 99, "expected": 99, "answer": None}])


@falsifier(
    "answer-accuracy",
    needs=("answers",),
    measures={"accuracy": "%"},
    controls=(known_good(all_right), known_bad(mostly_wrong), known_open(barely_right)),
)
def answer_accuracy(context: Context) -> Iterator[Measurement]:
    """Refuted when too few answers equal the expected ones; the Wilson interval must clear the bar."""
    rows = context.evidence("answers").rows("answers.jsonl")
    right = sum(row["answer"] == row["expected"] for row in rows)
    interval = stats.wilson_interval(right, len(rows))
    yield Measurement("accuracy", 100 * right / len(rows), "%", n=len(rows), interval=interval)


@falsifier(
    "answers-complete",
    needs=("answers",),
    measures={"missing": "answers"},
    controls=(known_good(all_right), known_bad(one_missing)),
)
def answers_complete(context: Context) -> Iterator[Measurement]:
    """Refuted when a question has no answer."""
    rows = context.evidence("answers").rows("answers.jsonl")
    yield Measurement("missing", sum(row["answer"] is None for row in rows), "answers", n=len(rows))
