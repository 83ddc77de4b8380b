"""The same problem as a row of each benchmark's own file."""

from __future__ import annotations

from typing import Any

HEAD = 'def double(n):\n    """Double the number n, and give back what comes of it, whatever its sign is."""\n'
OWN = "def double(n):\n  return n + n"
PROBLEM_ROWS: dict[str, dict[str, Any]] = {
    "HumanEval": {
        "task_id": "own/0",
        "entry_point": "double",
        "prompt": HEAD,
        "canonical_solution": "    return n + n\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-3) == -6\n",
    },
    "HumanEval+": {
        "task_id": "HumanEval/0",
        "entry_point": "double",
        "prompt": HEAD,
        "canonical_solution": "    return n + n\n",
        "base_input": [[2]],
        "plus_input": [[-3]],
        "atol": 0,
    },
    "MBPP": {
        "task_id": 1,
        "text": HEAD,
        "code": OWN,
        "test_list": ["assert double(2) == 4", "assert double(-3) == -6"],
    },
    "MBPP+": {
        "task_id": "Mbpp/1",
        "entry_point": "double",
        "prompt": f'"""\n{HEAD.split(chr(34) * 3)[1]}\nassert double(2) == 4\n"""\n',
        "canonical_solution": f"\n{OWN}\n",
        "base_input": [[2]],
        "plus_input": [[-3]],
        "atol": 0,
    },
}
