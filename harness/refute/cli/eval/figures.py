"""What an evaluation's counts say: pass@1 with intervals, and the paired comparison of two models. Shares, 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from refute import stats
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import behind_the_head
from refute.engines.humaneval.scoring.format_faults import Answer, ending, endings, format_faults
from refute.engines.humaneval.scoring.result_log import Row
from refute.engines.humaneval.scoring.tally import Count
from refute.outcome import Interval

SEED = 17


@dataclass(frozen=True, slots=True)
class Comparison:
    """Model B against model A over the same problems; shares are each problem's passes among its samples.

    `won`: problems where B's share is higher. `p_value` is McNemar's, exact, and None where a share lies between 0 and
    1: then problems are no longer won or lost outright, and there are intervals over problems alone.
    """

    problems: int
    a: float
    b: float
    a_intervals: tuple[Interval, ...]
    b_intervals: tuple[Interval, ...]
    difference: float
    difference_intervals: tuple[Interval, ...]
    won: tuple[str, ...]
    lost: tuple[str, ...]
    p_value: float | None


def pass_intervals(shares: Sequence[float]) -> tuple[Interval, ...]:
    """95 % intervals of the mean of `shares`, one a problem, as shares.

    Wilson and Clopper-Pearson where every problem's share is 0 or 1, as with one sample each. Else `stats.mean_share`,
    over problems: samples of one problem are not independent, and counting them as if would narrow the interval.
    Raises ValueError for no share.
    """
    if shares and outright(shares):
        passed, n = int(sum(shares)), len(shares)
        return _as_shares(stats.wilson_interval(passed, n)), _as_shares(stats.exact_interval(passed, n))
    return (_as_shares(stats.mean_share(shares)[1]),)


def compare(a: Mapping[str, float], b: Mapping[str, float], *, seed: int = SEED) -> Comparison:
    """B against A over the same tasks, in A's order. Raises ValueError unless both name the same, and at least one."""
    if not a or a.keys() != b.keys():
        raise ValueError(f"a comparison needs the same problems on both sides, found {len(a)} and {len(b)}")
    of_a, of_b = list(a.values()), [b[task] for task in a]
    differences = [new - old for old, new in zip(of_a, of_b, strict=True)]
    won = tuple(task for task in a if b[task] > a[task])
    lost = tuple(task for task in a if b[task] < a[task])
    intervals: tuple[Interval, ...] = (_as_shares(stats.mean_paired_difference(differences)[1]),)
    p_value = None
    if outright([*of_a, *of_b]):
        both = int(sum(min(pair) for pair in zip(of_a, of_b, strict=True)))
        neither = len(a) - both - len(won) - len(lost)
        paired = stats.paired_difference(both, len(won), len(lost), neither)
        intervals = (_as_shares(paired),)
        p_value = stats.mcnemar_p(len(won), len(lost))
    return Comparison(
        problems=len(a),
        a=math.fsum(of_a) / len(a),
        b=math.fsum(of_b) / len(a),
        a_intervals=pass_intervals(of_a),
        b_intervals=pass_intervals(of_b),
        difference=math.fsum(differences) / len(a),
        difference_intervals=(*intervals, _bootstrap(differences, seed)),
        won=won,
        lost=lost,
        p_value=p_value,
    )


def by_category(counts: Mapping[str, Count], problems: Sequence[Problem]) -> dict[str, object]:
    """pass@1 with its intervals of each category that the problem file names, in its order; none for one without."""
    shares: dict[str, list[float]] = {}
    for problem in problems:
        if problem.category is not None and problem.task_id in counts:
            shares.setdefault(problem.category, []).append(counts[problem.task_id].share)
    return {
        name: {
            "problems": len(found),
            "pass_at_1": math.fsum(found) / len(found),
            "intervals": [asdict(each) for each in pass_intervals(found)],
        }
        for name, found in shares.items()
    }


def format_of(rows: Sequence[Row], problems: Sequence[Problem]) -> dict[str, object]:
    """How many answers are no Python behind their prompt, by symptom, and how programs ended. `share` is of `rows`.

    `first_failure` is the first that did not pass: its task, and all that is known of how it ended.
    """
    by_id = {problem.task_id: problem for problem in problems}
    answers = [
        Answer(by_id[row.task_id], behind_the_head(by_id[row.task_id], row.completion), ending(*row.ending))
        for row in rows
    ]
    symptoms = format_faults(answers)
    faults = sum(symptoms.values())
    return {
        "faults": faults,
        "share": faults / max(len(answers), 1),
        "symptoms": symptoms,
        "endings": endings(answers),
        "first_failure": _first_failure(rows, problems),
        "answers": len(answers),
    }


def _first_failure(rows: Sequence[Row], problems: Sequence[Problem]) -> str | None:
    # By the file's order: rows stand in that of their ends.
    places = {problem.task_id: place for place, problem in enumerate(problems)}
    failed = [row for row in rows if not row.passed]
    first = min(failed, key=lambda row: (places[row.task_id], row.sample), default=None)
    return None if first is None else f"{first.task_id}: {first.result}"


def outright(shares: Sequence[float]) -> bool:
    """Whether every problem was passed by all of its samples or by none."""
    return all(share in (0.0, 1.0) for share in shares)


def percent(intervals: Sequence[Interval]) -> str:
    """Intervals for people: `95 % Wilson [2.08, 8.54], Clopper-Pearson [1.73, 8.60] %`."""
    shown = ", ".join(f"{each.method} [{100 * each.low:.2f}, {100 * each.high:.2f}]" for each in intervals)
    return f"{100 * intervals[0].level:g} % {shown} %"


def _bootstrap(values: Sequence[float], seed: int) -> Interval:
    found = stats.bootstrap_interval(values, seed=seed)[1]
    return Interval(found.low, found.high, found.level, "bootstrap over problems")


def _as_shares(interval: Interval) -> Interval:
    return Interval(interval.low / 100, interval.high / 100, interval.level, interval.method)
