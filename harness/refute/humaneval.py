"""HumanEval: problems, execution of untrusted programs, scores. Importing it does not import torch."""

from __future__ import annotations

from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.sandbox.tiers import Isolation, probe_isolation
from refute.engines.humaneval.scoring.pass_at_k import pass_at_k
from refute.engines.humaneval.scoring.score import score

__all__ = ["Isolation", "Problem", "Result", "load_problems", "pass_at_k", "probe_isolation", "score"]
