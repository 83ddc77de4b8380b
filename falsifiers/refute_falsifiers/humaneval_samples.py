"""What does the student solve when it is asked several times, and was it asked and judged as often as was promised?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

_NEED, _FILE = "humaneval_sampled", "results.jsonl"
_PROBLEMS, _SAMPLES = 164, 8
Rows = list[dict[str, Any]]
_PASSED, _FAILED = {"passed": True, "outcome": "passed"}, {"passed": False, "outcome": "failed"}


def _passed(row: dict[str, Any]) -> bool:
    """Whether a result is positively a pass: flag and outcome must agree."""
    return row["passed"] is True and row["outcome"] == "passed"


def _by_problem(rows: Rows) -> dict[str, Rows]:
    """The results of each problem's samples. Raises ValueError for none, and for one sample that counts twice."""
    if not rows or len({(row["task_id"], row["sample"]) for row in rows}) != len(rows):
        raise ValueError(f"{_NEED}/{_FILE} must have one result a sample, found {len(rows)} rows")
    found = defaultdict[str, Rows](list)
    for row in rows:
        found[row["task_id"]].append(row)
    return found


def _estimate(n: int, passes: int, k: int) -> float:
    """The chance that one of `k` samples passes: 1 - C(n - c, k) / C(n, k), unbiased (Chen et al. 2021, eq. 1)."""
    return float(1 - Fraction(math.comb(n - passes, k), math.comb(n, k)))


def _score(passes: Sequence[int], samples: int, k: int) -> Iterator[Measurement]:
    """Mean over problems, so many of whose samples passed, with its interval over problems."""
    value, interval = stats.mean_share([_estimate(samples, each, k) for each in passes])
    yield Measurement("pass_at_k", value, "%", n=len(passes), interval=interval)


# ------------------------------------------------------------------------------------------------ pass@k


@dataclass(frozen=True, slots=True)
class _Run:
    """A run for a control: of each problem so many samples pass, and the last `errors` of all have no verdict."""

    passes: tuple[int, ...]
    samples: int
    errors: int = 0

    def rows(self) -> Rows:
        """Its results; what has no verdict claims to be a pass."""
        found = [
            {"task_id": f"HumanEval/{n}", "sample": sample, **(_PASSED if sample < passes else _FAILED)}
            for n, passes in enumerate(self.passes)
            for sample in range(self.samples)
        ]
        lost = [{**row, "passed": True, "outcome": "error"} for row in found[len(found) - self.errors :]]
        return [*found[: len(found) - self.errors], *lost]


def _samples(bench: Bench) -> int:
    return max(_SAMPLES, int(bench.parameters.get("k", 1)) + 1)


def _spread(bench: Bench, total: int, errors: int = 0) -> _Run:
    """`total` passes among the samples of all problems: first one of each problem, then a second of each."""
    samples = _samples(bench)
    reached = range(_PROBLEMS - -(-errors // samples))
    passes = [sum(total > turn * len(reached) + n for turn in range(samples)) for n in reached]
    return _Run((*passes, *[0] * (_PROBLEMS - len(passes))), samples, errors)


def _laid(bench: Bench, errors: int = 0, failing: Iterable[str] = (), unsure: Iterable[str] = ()) -> _Run:
    """A run on the side of the bar that is wanted."""
    most = _PROBLEMS * _samples(bench)
    totals = (most // 2, most, 0, *range(0, most, 7))
    k = int(bench.parameters["k"])
    run = bench.choose(
        [_spread(bench, total, errors) for total in totals],
        lambda each: _score(each.passes, each.samples, k),
        failing=list(failing),
        unsure=list(unsure),
    )
    bench.put(_NEED, _FILE, run.rows())
    return run


def _allowed(bench: Bench) -> int:
    """How many samples may have no verdict by the share of this use."""
    return int(Fraction(str(bench.parameters["allowed_error_share"])) * _PROBLEMS * _samples(bench))


def half_of_the_samples_pass(bench: Bench) -> None:
    """As many of each problem, or as the bar wants."""
    _laid(bench)


def no_sample_passes(bench: Bench) -> None:
    """Or so few that the bar refuses them."""
    _laid(bench, failing=["pass_at_k"])


def too_close_to_tell(bench: Bench) -> None:
    """The interval over problems reaches over the bar."""
    _laid(bench, unsure=["pass_at_k"])


def passes_by_half_only(bench: Bench) -> None:
    """Beside what the bar refuses, samples whose flag and outcome contradict each other."""
    halves = [{"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"}]
    rows = _laid(bench, failing=["pass_at_k"]).rows()
    bench.put(_NEED, _FILE, [row if _passed(row) else row | halves[n % 2] for n, row in enumerate(rows)])


def enough_besides_errors(bench: Bench) -> None:
    """As many samples without a verdict as may have none."""
    _laid(bench, _allowed(bench))


def errors_that_claim_to_be_passes(bench: Bench) -> None:
    """As many as may have no verdict, and too few passes without them."""
    _laid(bench, _allowed(bench), failing=["pass_at_k"])


def one_error_too_many(bench: Bench) -> None:
    """All else passes, and it is no measurement."""
    samples = _samples(bench)
    bench.put(_NEED, _FILE, _Run((samples,) * _PROBLEMS, samples, _allowed(bench) + 1).rows())


def one_sample_left_out(bench: Bench) -> None:
    """Of one problem, whose others pass."""
    bench.put(_NEED, _FILE, _Run((1,) * _PROBLEMS, _samples(bench)).rows()[:-1])


def no_result(bench: Bench) -> None:
    """Nothing was judged."""
    bench.put(_NEED, _FILE, "")


def one_sample_twice(bench: Bench) -> None:
    """It would count double."""
    rows = _Run((1,) * _PROBLEMS, _samples(bench)).rows()
    bench.put(_NEED, _FILE, [*rows, rows[0]])


@falsifier(
    "humaneval-pass-at-k",
    needs=(_NEED,),
    measures={"pass_at_k": "%"},
    parameters={"k": 1, "allowed_error_share": 0.0},
    controls=(
        known_good(half_of_the_samples_pass),
        known_bad(no_sample_passes),
        known_bad(passes_by_half_only),
        known_open(too_close_to_tell),
        known_good(enough_besides_errors),
        known_bad(errors_that_claim_to_be_passes),
        known_unusable(one_error_too_many, raises=ValueError),
        known_unusable(one_sample_left_out, raises=ValueError),
        known_unusable(no_result, raises=ValueError),
        known_unusable(one_sample_twice, raises=ValueError),
    ),
)
def pass_at_k(context: Context) -> Iterator[Measurement]:
    """Refuted when pass@k, estimated without bias from all samples, lies below the bar, its interval included.

    The interval is over problems: samples of one problem are alike, and many of them make up for no problem. A sample
    without an answer or a verdict is not passed, and more of them than `allowed_error_share` are an error.
    """
    rows = context.evidence(_NEED).rows(_FILE)
    problems, k = _by_problem(rows), int(context.parameters["k"])
    errors = sum(row["outcome"] == "error" for row in rows)
    if Fraction(errors, len(rows)) > Fraction(str(context.parameters["allowed_error_share"])):
        raise ValueError(f"{errors} of {len(rows)} samples have no verdict, more than the share that may have none")
    fewest, most = (end(map(len, problems.values())) for end in (min, max))
    if fewest < max(k, most):
        raise ValueError(f"pass@{k} needs {k} samples of each problem, and of all as many: found {fewest} to {most}")
    estimates = [_estimate(len(own), sum(map(_passed, own)), k) for own in problems.values()]
    value, interval = stats.mean_share(estimates)
    yield Measurement("pass_at_k", value, "%", n=len(problems), interval=interval.noting_errors(errors))


# ------------------------------------------------------------------------------------------------ completeness


def _judged(bench: Bench, **wrong: int) -> None:
    """A run whose bars hold but for those of the measurements in `wrong`, which fail, by so many at least."""

    def count(name: str, usual: int, *, low: int = 0, high: float = math.inf) -> int:
        find = bench.bar(name).failing if name in wrong else bench.bar(name).holding
        return int(find(wrong.get(name, usual), low=low, high=high, whole=True))

    problems, samples = count("problems", _PROBLEMS, low=1), int(bench.parameters["samples"])
    rows = _Run((1,) * problems, samples).rows()
    short = {f"HumanEval/{n}" for n in range(count("short_problems", 0, high=problems))}
    kept = [row for row in rows if row["task_id"] not in short or row["sample"] < samples - 1]
    errors = count("errors", 0, high=len(kept))
    bench.put(_NEED, _FILE, [{**row, "outcome": "error"} if n < errors else row for n, row in enumerate(kept)])


def every_sample_judged(bench: Bench) -> None:
    """Of each problem as many as were promised."""
    _judged(bench)


def a_problem_left_out(bench: Bench) -> None:
    """One has no sample."""
    _judged(bench, problems=_PROBLEMS - 1)


def a_sample_left_out(bench: Bench) -> None:
    """One problem has one fewer: that which failed."""
    _judged(bench, short_problems=1)


def a_sample_without_a_verdict(bench: Bench) -> None:
    """It is no zero."""
    _judged(bench, errors=1)


def one_more_than_was_promised(bench: Bench) -> None:
    """Whoever may draw again until it passes scores higher."""
    samples = int(bench.parameters["samples"])
    more = max(1, int(bench.bar("short_problems").failing(1, low=1, high=_PROBLEMS, whole=True)))
    extra = [{"task_id": f"HumanEval/{n}", "sample": samples, **_PASSED} for n in range(more)]
    _judged(bench)
    bench.put(_NEED, _FILE, [*_Run((1,) * _PROBLEMS, samples).rows(), *extra])


@falsifier(
    "humaneval-samples-complete",
    needs=(_NEED,),
    measures={"problems": "problems", "short_problems": "problems", "errors": "samples"},
    parameters={"samples": _SAMPLES},
    controls=(
        known_good(every_sample_judged),
        known_bad(a_problem_left_out),
        known_bad(a_sample_left_out),
        known_bad(one_more_than_was_promised),
        known_bad(a_sample_without_a_verdict),
        known_unusable(one_sample_twice, raises=ValueError),
        known_unusable(no_result, raises=ValueError),
    ),
)
def samples_complete(context: Context) -> Iterator[Measurement]:
    """Refuted when a problem is missing, has not just the `samples` that were promised, or one of them is an error."""
    problems, samples = _by_problem(context.evidence(_NEED).rows(_FILE)), int(context.parameters["samples"])
    odd = sum({row["sample"] for row in own} != set(range(samples)) for own in problems.values())
    errors = sum(row["outcome"] == "error" for own in problems.values() for row in own)
    yield Measurement("problems", len(problems), "problems", n=len(problems))
    yield Measurement("short_problems", odd, "problems", n=len(problems))
    yield Measurement("errors", errors, "samples", n=len(problems) * samples)
