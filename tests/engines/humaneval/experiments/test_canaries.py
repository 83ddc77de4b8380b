"""Canaries are judged as what they are, and nothing in a task tells them from a model's answers."""

from __future__ import annotations

import pytest

from refute.engines.humaneval.experiments.canaries import RIGHT, WRONG, mix
from refute.engines.humaneval.problems.program import assemble
from refute.engines.humaneval.scoring.score import score
from refute.humaneval import Isolation, Problem


@pytest.mark.slow
def test_right_ones_pass_and_wrong_ones_fail(own: dict[str, Problem], strongest: Isolation) -> None:
    """On every problem of our own, through the same assembly and scorer as a model's answers."""
    entries = mix(list(own.values()), ["\n    pass"] * len(own))
    programs = {entry.hidden_id: assemble(entry.problem, entry.completion) for entry in entries}
    hidden = [entry.hidden_problem for entry in entries]
    found = score(hidden, programs, timeout_s=5.0, memory_mib=512, isolation=strongest)
    verdicts = [(entry.kind, result.passed) for entry, result in zip(entries, found, strict=True)]
    assert sorted(verdicts) == sorted([("", False), (RIGHT, True), (WRONG, False)] * len(own))


def test_nothing_tells_them_apart(own: dict[str, Problem]) -> None:
    """Ids are digests of one length, the order is theirs, and a problem's own text is unchanged."""
    problems = list(own.values())
    entries = mix(problems, [""] * len(problems))
    ids = [entry.hidden_id for entry in entries]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {16}
    assert all(entry.problem.task_id not in entry.hidden_problem.task_id for entry in entries)
    assert {entry.hidden_problem.prompt for entry in entries} == {problem.prompt for problem in problems}
    kinds = "".join(entry.kind[:1] or "m" for entry in entries)
    assert kinds not in (kinds[:1] * len(kinds), "".join(sorted(kinds)), "".join(sorted(kinds, reverse=True)))


def test_results_come_back_under_names_that_say_what_they_are(own: dict[str, Problem], strongest: Isolation) -> None:
    """A model's answer under its task, a canary with its kind."""
    problem = next(iter(own.values()))
    entries = mix([problem], ["\n    pass"])
    programs = {entry.hidden_id: assemble(entry.problem, entry.completion) for entry in entries}
    found = score(
        [entry.hidden_problem for entry in entries], programs, timeout_s=5.0, memory_mib=512, isolation=strongest
    )
    named = {entry.named(result).task_id: result.passed for entry, result in zip(entries, found, strict=True)}
    task = problem.task_id
    assert named == {task: False, f"{task}#right": True, f"{task}#wrong": False}
