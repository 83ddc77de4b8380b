"""Code under other names is found again, and what is common to all code is not."""

from __future__ import annotations

import pytest

from refute.engines.distill.data.renamed import runs

CODE = """
def largest(values, least):
    best = None
    for value in sorted(values):
        if value >= least and (best is None or value > best):
            best = value + 1
    return best
"""
RENAMED = """
def q(a, b):
    '''Says nothing.'''
    c = None   # nor does this
    for d in sorted(a):
        if d >= b and (c is None or d > c):
            c = d + 999
    return c
"""


def test_one_renaming_makes_one_text_of_two() -> None:
    """Names, numbers, comments and docstrings do not count."""
    assert len(runs(CODE)) > 10
    assert runs(CODE).tolist() == runs(RENAMED).tolist()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" sorted(", " reversed("),
        (">= least", "<= least"),
        ("value > best", "best > value"),
        ("value >= least", "value >= values"),
    ],
    ids=["another built-in", "another operator", "names exchanged", "another name in one place"],
)
def test_another_program_is_another_text(old: str, new: str) -> None:
    """A renaming changes all places of a name, and no operator, built-in or attribute."""
    assert not set(runs(CODE)) >= set(runs(CODE.replace(old, new)))


@pytest.mark.parametrize(
    "text",
    [
        "x = [" + ", ".join(f"'word {n}'" for n in range(50)) + "]",
        "no more than words, and words, and words; they are no code, " * 9,
        "x = 1",
        "",
    ],
    ids=["a table", "prose", "too short", "nothing"],
)
def test_what_all_code_has_is_no_run(text: str) -> None:
    """Else every corpus would be contaminated."""
    assert len(runs(text)) == 0
