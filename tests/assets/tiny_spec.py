"""A specification of two criteria that the falsifiers in tests/assets/tiny_falsifiers attack."""

from __future__ import annotations

_TEXT = """\
spec: SPEC-TINY-001
version: 1
title: Answers
criteria:
  - id: AC-TINY-001
    title: Right
    statement: Most answers are right.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-TINY-001, uses: tiny-accuracy, thresholds: {accuracy: {holds_if: ">= 80 %"}}}
  - id: AC-TINY-002
    title: Enough
    statement: There are enough answers.
    severity: info
    phase: 1
    falsifiers:
      - {id: F-TINY-002, uses: tiny-size, thresholds: {rows: {holds_if: ">= 20 rows"}}}
"""


def tiny_spec(*, second: str = "info", effective_on: str | None = None) -> str:
    """The text, with the severity of the second criterion and, on line 10, the day from which the first one blocks."""
    text = _TEXT.replace("severity: info", f"severity: {second}")
    if effective_on is None:
        return text
    return text.replace("    phase: 1\n", f'    phase: 1\n    effective_on: "{effective_on}"\n', 1)
