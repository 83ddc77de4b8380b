"""Can the scorer tell right from wrong, and the protocol a model that solves something from one that cannot?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from refute import Bench, Context, Control, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

PROBLEMS = 164
Rows = list[dict[str, Any]]
Controls = tuple[Control, ...]
Measure = Callable[[Context], Iterator[Measurement]]


def _results(passed: Iterable[int], problems: int = PROBLEMS, other: str = "failed") -> Rows:
    solved = set(passed)
    return [
        {"task_id": f"HumanEval/{n}", "passed": n in solved, "outcome": "passed" if n in solved else other}
        for n in range(problems)
    ]


def _passed(row: dict[str, Any]) -> bool:
    """Whether a result is positively a pass: flag and outcome must agree."""
    return row["passed"] is True and row["outcome"] == "passed"


def _passes(rows: Rows) -> int:
    return sum(_passed(row) for row in rows)


def _unique(evidence: Evidence, file: str = "results.jsonl") -> Rows:
    rows = evidence.rows(file)
    if not rows or len({row["task_id"] for row in rows}) != len(rows):
        raise ValueError(f"{evidence.name}/{file} must have one result a problem, found {len(rows)} rows")
    return rows


def _verdicts(evidence: Evidence, file: str = "results.jsonl") -> Rows:
    """One result a problem, each with a verdict. Raises ValueError for a problem without one."""
    rows = _unique(evidence, file)
    if errors := sum(row["outcome"] == "error" for row in rows):
        raise ValueError(f"{errors} of {len(rows)} have no verdict, and none may have none")
    return rows


# Neither is a pass: flag and outcome must agree.
_HALVES: Rows = [{"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"}]


def _but_half(rows: Rows) -> Rows:
    """The same, where what does not pass does so by half."""
    return [row if _passed(row) else row | _HALVES[n % 2] for n, row in enumerate(rows)]


def _half_passes() -> Rows:
    return _but_half(_results(()))


def _unusable(
    need: str, file: str = "results.jsonl", others: Callable[[Bench], None] = lambda _bench: None
) -> Controls:
    """A run without a result, and one that counts a problem twice."""

    def nothing(bench: Bench) -> None:
        others(bench)
        bench.put(need, file, "")

    def twice(bench: Bench) -> None:
        others(bench)
        bench.put(need, file, [*_results(range(20)), _results(range(20))[0]])

    return (
        known_unusable(nothing, name=f"no result in {need}", raises=ValueError),
        known_unusable(twice, name=f"one problem twice in {need}", raises=ValueError),
    )


def _unjudged(
    need: str, file: str = "results.jsonl", others: Callable[[Bench], None] = lambda _bench: None
) -> Controls:
    """A run in which one problem has no verdict, which is neither a pass nor a failure; and those of `_unusable`."""

    def without_verdict(bench: Bench) -> None:
        others(bench)
        bench.put(need, file, [*_results(range(20))[:-1], {**_results(())[-1], "outcome": "error"}])

    return known_unusable(without_verdict, name=f"no verdict in {need}"), *_unusable(need, file, others)


_FORGED = ("empty", "always_equal", "system_exit", "os_exit")


def _calibration(bench: Bench, forged_as: str = "always_equal", **wrong: int) -> None:
    """A calibration as the bars want it, but for the measurements in `wrong`; forged passes are all of one kind."""
    counted = {name: value for name, value in wrong.items() if name != "endless_passes"}
    found = bench.values(
        {"canonical_failures": 0, "forged_passes": 0}, counted, low=0, high=len(_FORGED) * PROBLEMS, whole=True
    )
    endless = bench.bar("endless_passes")
    find = endless.failing if "endless_passes" in wrong else endless.holding
    problems = max(PROBLEMS, *found.values())
    passed = {"canonical": problems - found["canonical_failures"], forged_as: found["forged_passes"]}
    for kind in ("canonical", *_FORGED):
        rows = _results(range(passed.get(kind, 0)), problems)
        bench.put("humaneval_calibration", f"results_{kind}.jsonl", rows)
    loop = "passed" if find(1 if "endless_passes" in wrong else 0, low=0, high=1, whole=True) else "timeout"
    bench.put("humaneval_calibration", "calibration.json", {"loop_outcome": loop})


def scorer_that_works(bench: Bench) -> None:
    """Every canonical solution passes, nothing else does."""
    _calibration(bench)


def one_canonical_solution(bench: Bench) -> None:
    """Whether the others pass, nobody has looked."""
    _calibration(bench)
    bench.put("humaneval_calibration", "results_canonical.jsonl", _results(range(1), 1))


def scorer_fooled_by_equality(bench: Bench) -> None:
    """An object that equals everything passes most problems."""
    _calibration(bench, forged_passes=157)


def scorer_fooled_by_exit(bench: Bench) -> None:
    """A program that exits with status 0 passes."""
    _calibration(bench, "system_exit", forged_passes=PROBLEMS)


def scorer_that_fails_the_right_answer(bench: Bench) -> None:
    """One canonical solution is marked wrong."""
    _calibration(bench, canonical_failures=1)


def endless_loop_that_passes(bench: Bench) -> None:
    """A loop without end counts as solved."""
    _calibration(bench, endless_passes=1)


def near_misses_of_this_run(bench: Bench) -> None:
    """Right answers with one operator broken, as this run's scorer sees them, in the place of right ones."""
    real = bench.real["humaneval_calibration"]
    missed = {row["task_id"]: row for row in real.rows("results_near_miss.jsonl")}
    rows = [missed.get(row["task_id"], row) for row in real.rows("results_canonical.jsonl")]
    failed = len(rows) - _passes(rows)
    bench.bar("canonical_failures").failing(failed, low=failed, high=failed)
    bench.put("humaneval_calibration", "results_canonical.jsonl", rows)
    for kind in _FORGED:
        file = f"results_{kind}.jsonl"
        bench.put("humaneval_calibration", file, real.rows(file))
    bench.put("humaneval_calibration", "calibration.json", real.json("calibration.json"))


def forgeries_that_half_pass(bench: Bench) -> None:
    """Flag and outcome of the forged answers contradict each other: none of them is a pass."""
    _calibration(bench)
    bench.put("humaneval_calibration", "results_empty.jsonl", _half_passes())


@falsifier(
    "scorer-calibration",
    needs=("humaneval_calibration",),
    measures={"canonical_failures": "problems", "forged_passes": "problems", "endless_passes": "problems"},
    controls=(
        known_good(scorer_that_works),
        known_bad(scorer_fooled_by_equality),
        known_bad(scorer_fooled_by_exit),
        known_bad(scorer_that_fails_the_right_answer),
        known_bad(endless_loop_that_passes),
        known_bad(near_misses_of_this_run),
        known_good(forgeries_that_half_pass),
        known_unusable(one_canonical_solution, raises=ValueError),
        *_unjudged("humaneval_calibration", "results_canonical.jsonl", _calibration),
    ),
)
def scorer_calibration(context: Context) -> Iterator[Measurement]:
    """Refuted when a canonical solution fails, or an empty, forged or endless answer passes."""
    evidence = context.evidence("humaneval_calibration")
    canonical = _verdicts(evidence, "results_canonical.jsonl")
    yield Measurement("canonical_failures", len(canonical) - _passes(canonical), "problems", n=len(canonical))
    kinds = [_verdicts(evidence, f"results_{kind}.jsonl") for kind in _FORGED]
    if any(len(rows) > len(canonical) for rows in kinds):
        raise ValueError(
            f"of more problems than the {len(canonical)} with a canonical solution there are forged answers"
        )
    forged = [row for rows in kinds for row in rows]
    yield Measurement("forged_passes", _passes(forged), "problems", n=len(forged))
    ended = evidence.json("calibration.json")["loop_outcome"] == "timeout"
    yield Measurement("endless_passes", int(not ended), "problems", n=1)


def _solving(bench: Bench, need: str, preferred: int, *, failing: bool = False, half: bool = False) -> None:
    """A model that solves so many problems, or as many as the bar wants; the others half pass, or fail."""
    bar = bench.bar("passes")
    passes = int((bar.failing if failing else bar.holding)(preferred, low=0, whole=True))
    rows = _results(range(passes), max(PROBLEMS, passes))
    bench.put(need, "results.jsonl", _but_half(rows) if half else rows)


def nothing_solved(bench: Bench) -> None:
    """A model with random weights solves nothing."""
    _solving(bench, "humaneval_null", 0)


def one_solved(bench: Bench) -> None:
    """A model with random weights solves a problem: the harness solved it."""
    _solving(bench, "humaneval_null", 1, failing=True)


def solved_by_half(bench: Bench) -> None:
    """Rows whose flag and outcome contradict each other: nothing is solved by them."""
    _solving(bench, "humaneval_null", 0, half=True)


@falsifier(
    "null-model",
    needs=("humaneval_null",),
    measures={"passes": "problems"},
    controls=(
        known_good(nothing_solved),
        known_good(solved_by_half),
        known_bad(one_solved),
        *_unjudged("humaneval_null"),
    ),
)
def null_model(context: Context) -> Iterator[Measurement]:
    """Refuted when a model with random weights solves anything."""
    rows = _verdicts(context.evidence("humaneval_null"))
    yield Measurement("passes", _passes(rows), "problems", n=len(rows))


def _own(bench: Bench) -> str:
    return f"humaneval_{bench.parameters['model']}"


def a_model_that_scores(bench: Bench) -> None:
    """A model that solves a few problems under this protocol."""
    _solving(bench, _own(bench), 7)


def a_protocol_that_breaks_the_prompt(bench: Bench) -> None:
    """The same weights under another protocol: not one problem solved."""
    _solving(bench, _own(bench), 0, failing=True)


def a_model_that_half_scores(bench: Bench) -> None:
    """Rows whose flag and outcome contradict each other: nothing is solved by them."""
    _solving(bench, _own(bench), 0, failing=True, half=True)


def _of_both_models(measure: Measure) -> Measure:
    """The same falsifier for the teacher and for the student."""
    for model in ("teacher", "student"):
        falsifier(
            f"{model}-scores",
            needs=(f"humaneval_{model}",),
            measures={"passes": "problems"},
            parameters={"model": model},
            controls=(
                known_good(a_model_that_scores),
                known_bad(a_protocol_that_breaks_the_prompt),
                known_bad(a_model_that_half_scores),
                *_unjudged(f"humaneval_{model}"),
            ),
        )(measure)
    return measure


@_of_both_models
def model_scores(context: Context) -> Iterator[Measurement]:
    """Refuted when the model itself solves nothing: of a teacher, the protocol is broken then, and not the student."""
    rows = _verdicts(context.evidence(f"humaneval_{context.parameters['model']}"))
    yield Measurement("passes", _passes(rows), "problems", n=len(rows))
