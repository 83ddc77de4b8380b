"""Which tests look at the arguments that they gave away."""

from __future__ import annotations

import pytest

from refute.engines.humaneval.problems.in_place import looks_at_arguments

CHECK = "def check({}):\n    x = []\n    {}\n    assert x == [1]\n"


@pytest.mark.parametrize(
    ("test", "looks"),
    [
        (CHECK.format("candidate", "candidate(x)"), True),
        (CHECK.format("f", "f(x)"), True),
        (CHECK.format("candidate", "sort(x)"), True),
        (CHECK.format("candidate", "for _ in range(2): candidate(x)"), True),
        (CHECK.format("candidate", "found = candidate(x)"), False),
        (CHECK.format("candidate", "assert candidate(x) == sorted(x)"), False),
        (CHECK.format("candidate", "print(candidate(x))"), False),
        ("def check(candidate:\n", False),
    ],
)
def test_a_thrown_away_answer_asks_for_changes(test: str, looks: bool) -> None:
    """By the name of the candidate, whatever it is called, or that of the function."""
    assert looks_at_arguments(test, "sort") is looks
