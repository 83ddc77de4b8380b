"""Falsifiers of this repository: they read evidence, return measurements, and leave the judging to the spec."""

from collections.abc import Iterator

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, stats


def all_right(bench: Bench) -> None:
    """A file that the falsifiers must let stand."""
    bench.put("answers", "answers.jsonl", [{"question": n, "expected": n, "answer": n} for n in range(100)])


def hundred_answers(right: int) -> Iterator[Measurement]:
    """What so many right ones of a hundred come to: controls choose by it, so that they move with the bar."""
    yield Measurement("accuracy", right, "%", n=100, interval=stats.wilson_interval(right, 100))


def put_answers(bench: Bench, right: int) -> None:
    """A file of a hundred answers."""
    rows = [{"question": n, "expected": n, "answer": n if n < right else -1} for n in range(100)]
    bench.put("answers", "answers.jsonl", rows)


def mostly_wrong(bench: Bench) -> None:
    """A file that fails the bar: 40 right answers, or as many as that takes."""
    put_answers(bench, bench.choose([40, *range(101)], hundred_answers, failing=["accuracy"]))


def barely_right(bench: Bench) -> None:
    """A file of which 100 answers cannot tell whether it clears the bar."""
    put_answers(bench, bench.choose([85, *range(100, 0, -1)], hundred_answers, unsure=["accuracy"]))


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
