"""What does the student solve, by a run that stopped as soon as the bar was decided?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from refute import Bench, Context, Measurement, RefuteError, falsifier, known_bad, known_good, known_unusable, stats


def _design(bench: Bench) -> dict[str, Any]:
    """The test that this use declares, and the problems in their order."""
    bar = bench.bar("pass_at_1")
    if bar.design is None:
        raise RefuteError(
            "pass_at_1: its bar declares no `sequential` test, by which a run could have been stopped",
            hint="add `sequential:` beside `holds_if`, or use humaneval-pass-at-1",
        )
    design = bar.design.as_json()
    return {**design, "order": [f"HumanEval/{number}" for number in range(design["looks"][-1])]}


def _stopped(design: Mapping[str, Any], *, passed: bool) -> int:
    """After how many problems one outcome for all of them ends the run."""
    ends = (
        look["n"]
        for look in design["boundaries"]
        if (look["n"] >= look["stop_at_least"] if passed else look["stop_at_most"] >= 0)
    )
    return int(next(ends, design["looks"][-1]))


def _decided(bench: Bench, *, failing: bool, more: int = 0, backwards: bool = False) -> None:
    """A run of this design in which all problems are solved or none is, up to where that ends it.

    Which of both, the bar says. Where nothing is solved, so many problems have no verdict as the share allows, and
    `more`; they claim to be passes.
    """
    design = _design(bench)
    rule = {name: design[name] for name in ("bar", "error_rate", "spending", "looks")}

    def measured(all_pass: bool) -> Iterator[Measurement]:
        n = _stopped(design, passed=all_pass)
        share, interval = stats.sequential_share([all_pass] * n, **rule)
        yield Measurement("pass_at_1", share, "%", n=n, interval=interval)

    order = [False, True] if failing else [True, False]
    passed = bench.choose(order, measured, failing=["pass_at_1"] if failing else [])
    tasks = design["order"][: _stopped(design, passed=passed)]
    share = Fraction(str(bench.parameters["allowed_error_share"]))
    if share >= 1:
        raise RefuteError(
            f"allowed_error_share: {float(share):g} lets every problem go without a verdict: nothing would be refused",
            hint="state a share below 1",
        )
    lost = 0 if passed and not more else int(share * len(tasks)) + more
    rows = [{"task_id": task, "passed": True, "outcome": "passed"} for task in tasks]
    if not passed:
        # Neither is a pass: flag and outcome must agree.
        halves = ({"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"})
        rows = [{**row, **halves[number % 2]} for number, row in enumerate(rows)]
    rows = [{**row, "passed": True, "outcome": "error"} if number < lost else row for number, row in enumerate(rows)]
    bench.put("humaneval_sequential", "design.json", design)
    bench.put("humaneval_sequential", "results.jsonl", rows[::-1] if backwards else rows)


def decided_above(bench: Bench) -> None:
    """One outcome for every problem, until that was enough for the bar to hold."""
    _decided(bench, failing=False)


def decided_below(bench: Bench) -> None:
    """One outcome for every problem, until that was enough for the bar to fail."""
    _decided(bench, failing=True)


def decided_in_another_order(bench: Bench) -> None:
    """Decided, but the problems were not put in the order of the design."""
    _decided(bench, failing=False, backwards=True)


def one_error_too_many_in_a_decided_run(bench: Bench) -> None:
    """Decided, with more problems without a verdict than the share allows."""
    _decided(bench, failing=True, more=1)


def _require_few(errors: int, n: int, share: float) -> None:
    """Raise ValueError, with both numbers, where more of `n` problems have no verdict than the share allows."""
    # The share as it is written: 0.29 of 100 are 29, and in floats 28.
    if (found := Fraction(errors, n)) > Fraction(str(share)):
        raise ValueError(f"{errors} of {n} have no verdict ({float(found):.2%}), and {share:.2%} may have none")


@falsifier(
    "humaneval-pass-at-1-sequential",
    needs=("humaneval_sequential",),
    measures={"pass_at_1": "%"},
    parameters={"allowed_error_share": 0.0},
    controls=(
        known_good(decided_above),
        known_bad(decided_below),
        known_unusable(decided_in_another_order, raises=ValueError),
        known_unusable(one_error_too_many_in_a_decided_run, raises=ValueError),
    ),
)
def pass_at_1_sequential(context: Context) -> Iterator[Measurement]:
    """Refuted when the share of solved problems lies below the bar, by a run that stops once that is decided.

    The test is declared with the bar, as `sequential`; its interval is made for stopping early. A run that stopped
    elsewhere, or took the problems in another order, is no measurement. Of the problems that were put,
    `allowed_error_share` may have no verdict, and these are not solved.
    """
    evidence = context.evidence("humaneval_sequential")
    design, rows = evidence.json("design.json"), evidence.rows("results.jsonl")
    if [row["task_id"] for row in rows] != design["order"][: len(rows)]:
        raise ValueError("the problems were not judged in the order of the design")
    passed = [row["passed"] is True and row["outcome"] == "passed" for row in rows]
    rule = {name: design[name] for name in ("bar", "error_rate", "spending", "looks")}
    share, interval = stats.sequential_share(passed, **rule)
    errors = sum(row["outcome"] == "error" for row in rows)
    _require_few(errors, len(rows), float(context.parameters["allowed_error_share"]))
    yield Measurement("pass_at_1", share, "%", n=len(rows), interval=interval.noting_errors(errors))
