"""Reports rendered from a signed predicate and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from refute.disk import write_whole
from refute.judge.predicate.model import Predicate
from refute.judge.run.verdict_files import VerdictFiles
from refute.report.interface import ReportFormat
from refute.report.json_report import JsonReport
from refute.report.line import verdict_line
from refute.report.page.render import HtmlReport, MarkdownReport, markdown_within
from refute.report.report_check import check_report, report_format
from refute.report.terminal import render_terminal

__all__ = [
    "REPORTS",
    "HtmlReport",
    "check_report",
    "markdown_within",
    "render_terminal",
    "report_format",
    "verdict_line",
    "write_reports",
]

REPORTS: Mapping[str, ReportFormat] = {"html": HtmlReport(), "json": JsonReport(), "md": MarkdownReport()}


def write_reports(predicate: Predicate, payload_sha256: str, files: VerdictFiles) -> None:
    """Every format where `files` says, each file whole or as it was. Raises ExperimentError."""
    for suffix, report in REPORTS.items():
        write_whole(files.report(suffix), report.render(predicate, payload_sha256).encode())
