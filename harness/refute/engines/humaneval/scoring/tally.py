"""Counts of scored samples: passes a problem, pass@k, timeouts. Plain numbers; intervals are made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refute.engines.humaneval.samples.completion import Key
from refute.engines.humaneval.scoring.pass_at_k import pass_at_k
from refute.engines.humaneval.scoring.result_log import Row

# What papers report; 1 and the number of samples are always among the values shown.
_USUAL_K = (1, 2, 5, 10, 16, 20, 50, 100, 200)


@dataclass(frozen=True, slots=True)
class Count:
    """`passed` of a problem's `n` samples."""

    n: int
    passed: int

    @property
    def share(self) -> float:
        """The share that passed: the unbiased estimate of pass@1."""
        return self.passed / self.n


def count(rows: Iterable[Row]) -> dict[str, Count]:
    """The passes of each task that has a row, in the order of their first rows."""
    counts: dict[str, Count] = {}
    for row in rows:
        before = counts.get(row.task_id, Count(0, 0))
        counts[row.task_id] = Count(before.n + 1, before.passed + row.passed)
    return counts


def with_failed(counts: Mapping[str, Count], lost: Iterable[Key]) -> dict[str, Count]:
    """`counts` with a failed sample more for each of `lost`: the worst that they could have been."""
    found = dict(counts)
    for task, _ in lost:
        before = found.get(task, Count(0, 0))
        found[task] = Count(before.n + 1, before.passed)
    return found


def mean_pass_at_k(counts: Sequence[Count]) -> Mapping[int, float]:
    """pass@k, the mean over problems, for the usual k up to the smallest number of samples, and for that number."""
    if not counts:
        return {}
    most = min(each.n for each in counts)
    return {
        k: math.fsum(pass_at_k(each.n, each.passed, k) for each in counts) / len(counts)
        for k in sorted({*(usual for usual in _USUAL_K if usual <= most), most})
    }


def timeouts(rows: Sequence[Row]) -> Mapping[str, object]:
    """How many samples ran out of time or memory beside others, what came of them alone, and which timed out there."""
    final = [row for row in rows if row.timed_out]
    retried = [row for row in rows if row.retried]
    return {
        "retried_alone": len(retried),
        "verdict_when_alone": len(retried) - len(final),
        "timed_out": len(final),
        "outcome_depended_on_a_timeout": bool(retried),
        "tasks_timed_out": sorted({row.task_id for row in final}),
    }
