"""What a model is asked for: one sample of a problem, under a name that no other sample has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Key
from refute.spec.experiments.evidence.humaneval import answer_name


@dataclass(frozen=True, slots=True)
class Asked:
    """Sample number `sample` of `problem`."""

    problem: Problem
    sample: int = 0

    @property
    def key(self) -> Key:
        """The task and the number of the sample."""
        return self.problem.task_id, self.sample

    @property
    def named(self) -> Problem:
        """The problem, its id that of this sample's answer: what executes programs knows them by one name each."""
        return replace(self.problem, task_id=answer_name(*self.key))


def each_sample(problems: Iterable[Problem], samples: int = 1) -> list[Asked]:
    """All samples of all problems, those of one problem together."""
    return [Asked(problem, sample) for problem in problems for sample in range(samples)]
