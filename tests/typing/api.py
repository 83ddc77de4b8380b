"""A user's file as the type checkers see it: every public name in use, as an author would write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from refute import (
    Bench,
    Context,
    Control,
    Evidence,
    Interval,
    Measurement,
    Outcome,
    Parameter,
    RefuteError,
    Ruling,
    RunClass,
    Severity,
    falsifier,
    known_bad,
    known_good,
    stats,
)


def all_there(bench: Bench) -> None:
    """A good one: rows, a mapping, text and bytes."""
    step: Parameter = bench.parameters["step"]
    bench.put("answers", "answers.jsonl", [{"n": n, "step": step} for n in range(10)])
    bench.put("answers", "summary.json", {"rows": 10})
    bench.put("answers", "note.txt", "text")
    bench.put("answers", "blob", b"bytes")


def one_missing(bench: Bench) -> None:
    """A bad one, made of the real evidence."""
    bench.put("answers", "answers.jsonl", bench.real["answers"].rows("answers.jsonl")[:-1])


GOOD: Control = known_good(all_there)
CONTROLS = (GOOD, known_bad(one_missing), known_bad(lambda bench: bench.put("answers", "a", ""), name="empty"))


@falsifier(
    "answers-present",
    needs=("answers",),
    measures={"missing": "answers", "share": "%"},
    parameters={"step": 100, "strict": True, "scale": 0.5, "kind": "x"},
    controls=CONTROLS,
)
def answers_present(context: Context) -> Iterator[Measurement]:
    """Refuted when answers are missing."""
    evidence = context.evidence("answers")
    assert_type(evidence, Evidence)
    rows = evidence.rows("answers.jsonl")
    interval = stats.wilson_interval(len(rows), 10)
    assert_type(interval, Interval)
    yield Measurement("missing", 10 - len(rows), "answers", n=10)
    yield Measurement("share", 100 * len(rows) / 10, "%", n=10, interval=interval, evidence=context.files_read())


# The decorator leaves the function what it was.
measurements: Iterator[Measurement] = answers_present(Context({}, {}))


def in_words(outcome: Outcome, severity: Severity, run_class: RunClass, ruling: Ruling) -> str:
    """The words of a verdict are strings."""
    if not run_class.reaches(RunClass.FULL):
        raise RefuteError(f"{severity} {ruling}", hint="run it in full")
    return outcome
