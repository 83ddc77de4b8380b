"""What reviewers and their tools read: two verdicts compared, and a verdict as SARIF."""

from __future__ import annotations

from refute.review.comparison import compare_verdicts
from refute.review.difference import Difference
from refute.review.sarif import render_sarif
from refute.review.show import diff_json, diff_markdown, diff_terminal

__all__ = ["Difference", "compare_verdicts", "diff_json", "diff_markdown", "diff_terminal", "render_sarif"]
