"""Problems and helpers for judging small programs for real."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.engines.humaneval.scoring.execute import run_check
from refute.humaneval import Isolation, Problem, Result, load_problems, probe_isolation

Judge = Callable[..., Result]
OWN = Path(__file__).parents[1] / "assets" / "own_problems.jsonl"


@pytest.fixture(scope="session")
def own() -> dict[str, Problem]:
    """Six problems of our own, by entry point."""
    return {problem.entry_point: problem for problem in load_problems(OWN)}


@pytest.fixture(scope="session")
def all_problems() -> tuple[Problem, ...]:
    """The file that REFUTE_TEST_PROBLEMS names, or our own six."""
    return load_problems(Path(os.environ.get("REFUTE_TEST_PROBLEMS") or OWN))


@pytest.fixture(scope="session")
def strongest() -> Isolation:
    """The best isolation of this machine."""
    return probe_isolation()


@pytest.fixture
def contained(request: pytest.FixtureRequest, strongest: Isolation) -> Isolation:
    """A containing tier given by indirect parameter; skips where this machine does not reach it."""
    tier = Isolation(request.param)
    if strongest < tier:
        pytest.skip(f"this machine reaches {strongest.value} only")
    return tier


@pytest.fixture
def judge(own: dict[str, Problem]) -> Judge:
    """Judges source (its own prompt is not added) against one of our problems, within a second or so."""

    def run(entry_point: str, program: str, isolation: Isolation, *, timeout_s: float = 5.0) -> Result:
        problem = own[entry_point]
        return run_check(problem, program, timeout_s=timeout_s, memory_mib=512, isolation=isolation)

    return run
