"""Two verdicts compared: differences, and which of them are regressions."""

from __future__ import annotations

from refute.report.diff.comparison import compare_verdicts
from refute.report.diff.difference import Difference
from refute.report.diff.show import diff_json, diff_markdown, diff_terminal
from refute.report.sarif import render_sarif

__all__ = ["Difference", "compare_verdicts", "diff_json", "diff_markdown", "diff_terminal", "render_sarif"]
