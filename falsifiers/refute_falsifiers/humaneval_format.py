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
_PROMPT = 'def f(n):\n    """Return n."""\n'
_MISTAKEN = {"passed": False, "outcome": "failed", "detail": "AssertionError at: assert candidate(1) == 2"}
_RIGHT = {"passed": True, "outcome": "passed", "detail": ""}


def _faulty(result: dict[str, Any], completion: str, prompt: str) -> bool:
    """Whether an answer did not compile, or does not pass and is empty or defines something else."""
    if result["outcome"] == "passed":
        return False
    return (
        _NOT_COMPILED.match(result["detail"]) is not None
        or not completion.strip()
        or _defines_something_else(completion, prompt)
    )


def _defines_something_else(completion: str, prompt: str) -> bool:
    """Whether it leaves the function's body to the prompt, which it follows at the margin, and has no other for it."""
    name = re.findall(r"^(?:async )?def (\w+)", prompt, re.MULTILINE)[-1]
    first = next(line for line in completion.split("\n") if line.strip())
    again = re.search(rf"^(?:(?:async )?def {name}\b|{name}\s*[:=])", completion, re.MULTILINE)
    return completion.startswith("\n") and not first[0].isspace() and first[0] not in "#)]}" and again is None


def _share(faults: int) -> Iterator[Measurement]:
    interval = stats.wilson_interval(faults, PROBLEMS)
    yield Measurement("format_faults", 100 * faults / PROBLEMS, "%", PROBLEMS, interval)


def _answers(
    bench: Bench,
    preferred: int,
    *,
    failing: bool = False,
    bad: str | None = None,
    sound: dict[str, Any] = _MISTAKEN,
    text: str = "    return None",
) -> None:
    """So many answers with a fault of format, or as many as the bar wants; all others are `sound`, of this `text`.

    Those with a fault do not compile; or they are `bad`, compile, and do not pass.
    The last of these has no answer.
    """
    named = ["format_faults"] if failing else []
    faults = bench.choose([preferred, *range(PROBLEMS + 1)], _share, failing=named)
    rows = [(_FENCED if bad is None else _MISTAKEN) if number < faults else sound for number in range(PROBLEMS)]
    tasks = [f"HumanEval/{number}" for number in range(PROBLEMS)]
    texts = [text if bad is None or number >= faults else bad for number in range(PROBLEMS)]
    texts = texts[: max(faults, PROBLEMS - 1)]
    bench.put(
        "humaneval_student", "results.jsonl", [{"task_id": task, **row} for task, row in zip(tasks, rows, strict=True)]
    )
    bench.put(
        "humaneval_student",
        "samples.jsonl",
        [{"task_id": task, "completion": text} for task, text in zip(tasks, texts, strict=False)],
    )
    bench.put("humaneval_student", "prompts.jsonl", [{"task_id": task, "prompt": _PROMPT} for task in tasks])


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
    _answers(bench, PROBLEMS, failing=True, bad="")


def methods_of_a_class(bench: Bench) -> None:
    """The function is defined where nobody calls it, and the prompt's own has no body but its docstring."""
    _answers(bench, PROBLEMS, failing=True, bad="\n\n\nclass Solution:\n    def f(self, n):\n        return n")


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
        known_bad(methods_of_a_class),
        known_unusable(nothing_judged, raises=ValueError),
    ),
)
def humaneval_format(context: Context) -> Iterator[Measurement]:
    """Refuted when more answers than the bar allows are no Python, empty or define something else, interval included.

    A score of 0 then says how answers were written, cut and read, and little about what the model can do.
    """
    evidence = context.evidence("humaneval_student")
    results = evidence.rows("results.jsonl")
    texts = {row["task_id"]: row["completion"] for row in evidence.rows("samples.jsonl")}
    prompts = {row["task_id"]: row["prompt"] for row in evidence.rows("prompts.jsonl")}
    # What has no answer has no format either; `humaneval-complete` counts it.
    judged = [(row, row["task_id"]) for row in results if row["task_id"] in texts]
    faults = sum(_faulty(row, texts[task], prompts[task]) for row, task in judged)
    interval = stats.wilson_interval(faults, len(results))
    yield Measurement("format_faults", 100 * faults / len(results), "%", len(results), interval)
