"""What every report is: a pure function from the signed predicate to text."""

from __future__ import annotations

from typing import Protocol

from refute.judge.predicate.model import Predicate


class ReportFormat(Protocol):
    """A format. The same predicate and digest give the same text, on every machine and at any time."""

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """The whole document. `payload_sha256` is the hex digest of the signed payload and is shown in it."""
        ...
