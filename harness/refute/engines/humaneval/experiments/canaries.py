"""Canaries: answers whose verdict is known, hidden among a model's own, so that they meet whatever that run does.

Calibration shows that the scorer can tell right from wrong; canaries show that it did so in this run. They take the
way of a completion from the program's assembly to the written row, under names that say nothing, in mixed order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from refute.engines.humaneval.experiments.canned import BODIES, body_completion
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.sandbox.stations import Result

# Of each kind. Eight of 164 cost 5 % of the execution twice; one would do, were it not for problems with a flaw.
CANARIES = 8
RIGHT, WRONG = "right", "wrong"


@dataclass(frozen=True, slots=True)
class Entry:
    """One completion to be judged. `kind` is empty for a model's own, else what is known about it."""

    problem: Problem
    completion: str
    kind: str = ""

    @property
    def hidden_id(self) -> str:
        """A task id that tells nothing."""
        return hashlib.sha256(f"{self.problem.task_id}\0{self.kind}".encode()).hexdigest()[:16]

    @property
    def hidden_problem(self) -> Problem:
        """The problem under that id."""
        return replace(self.problem, task_id=self.hidden_id)

    def named(self, result: Result) -> Result:
        """The result under the id that says what it is: `<task>`, `<task>#right` or `<task>#wrong`."""
        suffix = f"#{self.kind}" if self.kind else ""
        return replace(result, task_id=f"{self.problem.task_id}{suffix}")


def mix(problems: Sequence[Problem], completions: Sequence[str]) -> list[Entry]:
    """The model's completions and up to eight right and eight wrong canaries, in an order that tells nothing."""
    entries = [Entry(problem, text) for problem, text in zip(problems, completions, strict=True)]
    chosen = sorted(problems, key=lambda problem: hashlib.sha256(problem.task_id.encode()).digest())[:CANARIES]
    for problem, body in zip(chosen, cycle(BODIES.values()), strict=False):
        entries.append(Entry(problem, f"\n{problem.canonical_solution.rstrip()}", RIGHT))
        entries.append(Entry(problem, body_completion(problem, body), WRONG))
    return sorted(entries, key=lambda entry: entry.hidden_id)
