"""Reports rendered from a signed predicate and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from refute.report.interface import Report
from refute.report.machine import JsonReport
from refute.report.page.render import HtmlReport, MarkdownReport, markdown_within
from refute.report.report_check import check_report, report_format
from refute.report.terminal import one_line, render_terminal

__all__ = [
    "REPORTS",
    "Report",
    "check_report",
    "markdown_within",
    "one_line",
    "render_terminal",
    "report_format",
]


REPORTS: Mapping[str, Report] = {"html": HtmlReport(), "json": JsonReport(), "md": MarkdownReport()}
