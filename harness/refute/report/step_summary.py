"""The report in the summary of a GitHub Actions step: appended where the environment names one, never in the way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from refute.judge.predicate.model import Predicate
from refute.report import markdown_within, verdict_line

VARIABLE = "GITHUB_STEP_SUMMARY"

# Bytes a step; GitHub drops a larger summary whole ("Adding a job summary", GitHub documentation: 1 MiB).
LIMIT_BYTES = 1024 * 1024


def append_step_summary(predicate: Predicate, payload_sha256: str, environment: Mapping[str, str]) -> str:
    """Append the Markdown report to the file that GITHUB_STEP_SUMMARY names; returns what went wrong, if anything.

    What is there and what is added stay within LIMIT_BYTES together: parts of the report are left out, then all of it
    but one line, then that. It never raises for the file: a summary that cannot be written changes no verdict.
    """
    named = environment.get(VARIABLE)
    if not named:
        return ""
    path = Path(named)
    try:
        taken = path.stat().st_size if path.exists() else 0
        text = _fitting(predicate, payload_sha256, LIMIT_BYTES - taken)
        if not text:
            return f"the step summary is full ({taken} bytes): the verdict was not added"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
    except (OSError, ValueError) as error:
        return f"the step summary {named} was not written: {error}"
    return ""


def _fitting(predicate: Predicate, payload_sha256: str, room: int) -> bytes:
    """The longest of: the whole report, a shortened one, one line, nothing. Each starts on a line of its own."""
    line = verdict_line(predicate, payload_sha256)
    for text in (markdown_within(predicate, payload_sha256, room - 1), f"{line}\n"):
        data = b"\n" + text.encode("utf-8")
        if len(data) <= room:
            return data
    return b""
