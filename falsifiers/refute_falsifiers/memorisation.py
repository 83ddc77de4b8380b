"""Has the student read the benchmark? Its reference solutions against the same programs with other names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

Rows = list[dict[str, Any]]
_MODELS = ("teacher", "init", "student")
_TASKS = 24
# Nats a token of solutions under their own names. How good a model is says nothing of what names are to it.
_OWN = {"teacher": 0.6, "init": 1.0, "student": 1.9}


def _familiarity(model: str, gaps: Sequence[float]) -> Rows:
    """A model to which each solution under other names is less likely by a gap, in nat per token."""
    return [
        {"model": model, "task_id": f"HumanEval/{n}", "original": _OWN[model], "renamed": _OWN[model] + gap}
        for n, gap in enumerate(gaps)
    ]


def _spread(middle: float, *, tasks: int = _TASKS) -> list[float]:
    """Gaps around `middle`, as far apart as those of real models, and the same for every model that is asked."""
    return [middle + 0.1 * (n % 5 - 2) for n in range(tasks)]


def _laid_out(bench: Bench, excess: float, *, teacher: float = 0.2, init: float = 0.1) -> None:
    """Gaps of teacher and init, and a student's, which is above the larger of these by `excess` on every task."""
    gaps = {"teacher": teacher, "init": init, "student": max(teacher, init) + excess}
    bench.put(
        "memorisation",
        "familiarity.jsonl",
        [row for name in _MODELS for row in _familiarity(name, _spread(gaps[name]))],
    )


def names_matter_as_to_the_teacher(bench: Bench) -> None:
    """Good names are likelier to whoever can program."""
    _laid_out(bench, bench.values({"excess": 0.0}, clear=True)["excess"])


def names_matter_as_to_the_init(bench: Bench) -> None:
    """An init that somebody else trained on the benchmark: its student did not get it here."""
    _laid_out(bench, bench.values({"excess": 0.0}, clear=True)["excess"], teacher=0.1, init=0.9)


def a_student_that_read_the_benchmark(bench: Bench) -> None:
    """Its solutions are likelier by a nat a token than the same programs."""
    _laid_out(bench, bench.values({}, {"excess": 1.0}, clear=True)["excess"])


def the_student_of_this_run_taught_solutions(bench: Bench) -> None:
    """What this very experiment said of the student after a few lessons in the benchmark."""
    real = bench.real["memorisation"]
    taught = {row["task_id"]: row for row in real.rows("taught.jsonl")}
    others = [row for row in real.rows("familiarity.jsonl") if row["model"] != "student" and row["task_id"] in taught]
    rows = [*others, *taught.values()]
    bench.choose([rows], lambda found: _excess(found), failing=["excess"])
    bench.put("memorisation", "familiarity.jsonl", rows)


def a_student_to_which_some_names_matter(bench: Bench) -> None:
    """On the whole it is as its teacher, and the tasks differ by so much that chance may have made it so."""
    middle = bench.values({"excess": 0.0}, clear=True)["excess"]
    asked = [row for name in _MODELS[:2] for row in _familiarity(name, _spread(0.2))]
    scattered = ([0.2 + middle + width * (-1) ** n for n in range(_TASKS)] for width in (1.0, 10.0, 100.0, 1e4))
    candidates = [[*asked, *_familiarity("student", gaps)] for gaps in scattered]
    bench.put("memorisation", "familiarity.jsonl", bench.choose(candidates, _excess, unsure=["excess"]))


def a_solution_asked_for_twice(bench: Bench) -> None:
    """Which of the two answers counts?"""
    rows = [row for name in _MODELS for row in _familiarity(name, _spread(0.2))]
    bench.put("memorisation", "familiarity.jsonl", [*rows, rows[-1]])


def a_student_that_was_not_asked(bench: Bench) -> None:
    """Only teacher and init were."""
    rows = [row for name in _MODELS[:2] for row in _familiarity(name, _spread(0.2))]
    bench.put("memorisation", "familiarity.jsonl", rows)


def other_tasks_for_the_student(bench: Bench) -> None:
    """It was asked for solutions that suit it."""
    rows = [row for name in _MODELS[:2] for row in _familiarity(name, _spread(0.2))]
    bench.put("memorisation", "familiarity.jsonl", [*rows, *_familiarity("student", _spread(0.2, tasks=20))])


@falsifier(
    "benchmark-memorised",
    needs=("memorisation",),
    measures={"excess": "nat/token"},
    controls=(
        known_good(names_matter_as_to_the_teacher),
        known_good(names_matter_as_to_the_init),
        known_bad(a_student_that_read_the_benchmark),
        known_bad(the_student_of_this_run_taught_solutions),
        known_open(a_student_to_which_some_names_matter),
        known_unusable(a_solution_asked_for_twice, raises=ValueError),
        known_unusable(a_student_that_was_not_asked, raises=ValueError),
        known_unusable(other_tasks_for_the_student, raises=ValueError),
    ),
)
def benchmark_memorised(context: Context) -> Iterator[Measurement]:
    """Refuted when the benchmark's own names make its solutions likelier to the student than to teacher and init.

    `excess` compares, task by task, how much less likely the same program is under other names: to the student, and to
    the one of teacher and init to which that matters more.
    """
    yield from _excess(context.evidence("memorisation").rows("familiarity.jsonl"))


def _excess(rows: Rows) -> Iterator[Measurement]:
    gaps = {
        name: {row["task_id"]: row["renamed"] - row["original"] for row in rows if row["model"] == name}
        for name in _MODELS
    }
    if len({frozenset(each) for each in gaps.values()}) != 1 or sum(map(len, gaps.values())) != len(rows):
        raise ValueError("teacher, init and student were not asked for the same solutions, each once")
    reference = max((gaps["teacher"], gaps["init"]), key=lambda each: sum(each.values()))
    excess, interval = stats.mean_interval([gap - reference[task] for task, gap in gaps["student"].items()])
    yield Measurement("excess", excess, "nat/token", n=len(reference), interval=interval)
