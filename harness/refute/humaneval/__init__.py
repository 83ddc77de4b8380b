"""HumanEval: problems, execution of untrusted programs, scores. Importing it does not import torch."""

from __future__ import annotations

from refute.humaneval.problems import Problem, load_problems
from refute.humaneval.sandbox import Isolation, probe_isolation
from refute.humaneval.score import Result, pass_at_k, score

__all__ = ["Isolation", "Problem", "Result", "load_problems", "pass_at_k", "probe_isolation", "score"]
