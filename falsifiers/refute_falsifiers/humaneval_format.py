"""Is the student's score about what it solves, or about the format of what it writes?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable, stats

PROBLEMS = 164
# What Python says of a text that it cannot compile, at the front of a result's detail.
_NOT_COMPILED = re.compile(r"(Syntax|Indentation|Tab)Error\b")
_FENCED = {"passed": False, "outcome": "failed", "detail": "SyntaxError: invalid syntax (<solution>, line 9)"}
_MISTAKEN = {"passed": False, "outcome": "failed", "detail": "AssertionError at: assert candidate(1) == 2"}
_RIGHT = {"passed": True, "outcome": "passed", "detail": ""}


def _faulty(result: dict[str, Any], completion: str) -> bool:
    """Whether an answer did not compile, or is empty and does not pass."""
    return _NOT_COMPILED.match(result["detail"]) is not None or (
        not completion.strip() and result["outcome"] != "passed"
    )


def _share(faults: int) -> Iterator[Measurement]:
    interval = stats.wilson_interval(faults, PROBLEMS)
    yield Measurement("format_faults", 100 * faults / PROBLEMS, "%", PROBLEMS, interval)


def _answers(
    bench: Bench,
    preferred: int,
    *,
    failing: bool = False,
    empty: bool = False,
    sound: dict[str, Any] = _MISTAKEN,
    text: str = "    return None",
) -> None:
    """So many answers with a fault of format, or as many as the bar wants; all others are `sound`, of this `text`.

    The last of these has no answer.
    """
    named = ["format_faults"] if failing else []
    faults = bench.choose([preferred, *range(PROBLEMS + 1)], _share, failing=named)
    rows = [(_MISTAKEN if empty else _FENCED) if number < faults else sound for number in range(PROBLEMS)]
    tasks = [f"HumanEval/{number}" for number in range(PROBLEMS)]
    texts = ["" if empty and number < faults else text for number in range(PROBLEMS)][: max(faults, PROBLEMS - 1)]
    bench.put(
        "humaneval_student", "results.jsonl", [{"task_id": task, **row} for task, row in zip(tasks, rows, strict=True)]
    )
    bench.put(
        "humaneval_student",
        "samples.jsonl",
        [{"task_id": task, "completion": text} for task, text in zip(tasks, texts, strict=False)],
    )


def programs_that_fail_by_themselves(bench: Bench) -> None:
    """Nothing is solved, and every answer is a program."""
    _answers(bench, 0)


def nothing_to_be_written(bench: Bench) -> None:
    """Empty answers that pass, for the prompt was the whole program; and a problem without an answer."""
    _answers(bench, 0, sound=_RIGHT, text="")


def answers_in_a_code_fence(bench: Bench) -> None:
    """Markdown was executed: not one answer compiles."""
    _answers(bench, PROBLEMS, failing=True)


def empty_answers(bench: Bench) -> None:
    """Nothing was written, which compiles and is no answer."""
    _answers(bench, PROBLEMS, failing=True, empty=True)


def nothing_judged(bench: Bench) -> None:
    """A run without a result has no format."""
    _answers(bench, 0)
    bench.put("humaneval_student", "results.jsonl", "")


@falsifier(
    "humaneval-format",
    needs=("humaneval_student",),
    measures={"format_faults": "%"},
    controls=(
        known_good(programs_that_fail_by_themselves),
        known_good(nothing_to_be_written),
        known_bad(answers_in_a_code_fence),
        known_bad(empty_answers),
        known_unusable(nothing_judged, raises=ValueError),
    ),
)
def humaneval_format(context: Context) -> Iterator[Measurement]:
    """Refuted when more of the student's answers than the bar allows did not compile or are empty, interval included.

    A score of 0 then says how answers were written, cut and read, and little about what the model can do.
    """
    evidence = context.evidence("humaneval_student")
    results = evidence.rows("results.jsonl")
    texts = {row["task_id"]: row["completion"] for row in evidence.rows("samples.jsonl")}
    # What has no answer has no format either; `humaneval-complete` counts it.
    faults = sum(_faulty(row, texts[row["task_id"]]) for row in results if row["task_id"] in texts)
    interval = stats.wilson_interval(faults, len(results))
    yield Measurement("format_faults", 100 * faults / len(results), "%", len(results), interval)
