"""Early stopping: problems in a random, seeded order, put only until a sequential test has decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from refute.engines.humaneval.problems.problems import Problem, order_key
from refute.spec.bars.sequential import Look


def seeded_order(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """`problems` in the random order of `seed`, whatever their order was."""
    return sorted(problems, key=lambda problem: order_key(seed, problem.task_id))


def put_until_decided(
    order: Sequence[Problem], looks: Sequence[Look], passes: Callable[[Sequence[Problem]], int]
) -> Look:
    """Put `order` batch by batch, each up to the next of `looks`, until the passes so far end the run; that look.

    `passes` puts a batch and says how many of it passed. The last look ends the run whatever was counted.
    """
    passed, put = 0, 0
    for look in looks:
        passed += passes(order[put : look.n])
        put = look.n
        if look.decides(passed):
            return look
    return looks[-1]
