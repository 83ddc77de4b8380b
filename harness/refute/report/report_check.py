"""Whether a document is the report of a verdict, byte for byte: a pretty page must not disagree with the signature."""

from __future__ import annotations

from pathlib import PurePath

from refute.errors import UsageError, VerificationError
from refute.judge.predicate.model import Predicate
from refute.report.interface import ReportFormat

_SHOWN = 100


def report_format(name: str, known: list[str]) -> str:
    """The format that a file name's suffix asks for. Raises UsageError for another suffix."""
    suffix = PurePath(name).suffix.removeprefix(".")
    if suffix not in known:
        raise UsageError(f"{name} is no report by its name: expected one of {', '.join(f'*.{each}' for each in known)}")
    return suffix


def check_report(document: bytes, name: str, report: ReportFormat, predicate: Predicate, payload_sha256: str) -> str:
    """What was compared, in words.

    Raises VerificationError, quoting the first line that differs, when `document` is not what `report` renders.
    """
    rendered = report.render(predicate, payload_sha256).encode("utf-8")
    if document != rendered:
        raise VerificationError(
            f"{name} is not the report of this verdict: {_first_difference(document, rendered)}",
            hint="render it again with `refute report`; another version of refute may write other words",
            cause="report",
        )
    return f"{name} is the report of payload {payload_sha256}, byte for byte"


def _first_difference(document: bytes, rendered: bytes) -> str:
    ours, theirs = rendered.split(b"\n"), document.split(b"\n")
    shared = min(len(ours), len(theirs))
    line = next((number for number in range(shared) if ours[number] != theirs[number]), shared)
    return f"line {line + 1} reads {_quote(theirs, line)}, expected {_quote(ours, line)}"


def _quote(lines: list[bytes], number: int) -> str:
    if number >= len(lines):
        return "nothing"
    text = ascii(lines[number].decode("utf-8", errors="replace"))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
