"""Two promises compared, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refute.outcome import Change


def change_table(changes: Sequence[Change]) -> list[str]:
    """One line a change, the direction first; columns as wide as their longest word, digests shortened."""
    rows = [
        (str(change.direction), change.place, f"{_short(change.old)} -> {_short(change.new)}") for change in changes
    ]
    if not rows:
        return []
    rows.insert(0, ("change", "where", "old -> new"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]


def _short(text: str) -> str:
    return f"{text[:12]}…" if len(text) == 64 and " " not in text else text
