"""Training logs: append-only JSONL that can be cut back to a step, and JSON files written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]


class StepLog:
    """One JSONL file whose rows carry `step`. A row is handed to the system at once, so a kill loses none."""

    def __init__(self, path: Path, *, keep_until: int, on_row: Callable[[Row], None] = lambda _: None) -> None:
        """Opens `path` and drops every row after step `keep_until`, and a last line that a kill cut short.

        `on_row` is called with every new row.
        """
        self._path, self._on_row = path, on_row
        self.rows: list[dict[str, object]] = [row for row in _complete_rows(path) if _step(row) <= keep_until]
        write_rows(path, self.rows)
        self._stream = path.open("a", encoding="utf-8")

    def append(self, row: Row) -> None:
        """Adds one row. Raises ValueError for NaN and infinities, which JSON has no words for."""
        self._stream.write(_line(row))
        self._stream.flush()
        self.rows.append(dict(row))
        self._on_row(row)

    def sync(self) -> None:
        """Returns once the rows are on the disk; call it before the checkpoint that vouches for them."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Closes the file; the rows stay readable in `rows`."""
        self._stream.close()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Replaces `path` by these rows, atomically."""
    _replace(path, "".join(_line(row) for row in rows))


def write_json(path: Path, content: Row) -> None:
    """Replaces `path` by `content`, atomically. Raises ValueError for NaN and infinities."""
    _replace(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def _line(row: Row) -> str:
    return json.dumps(row, sort_keys=True, allow_nan=False) + "\n"


def _step(row: Mapping[str, object]) -> int:
    step = row.get("step")
    # A row without a step belongs to no checkpoint, so no checkpoint can vouch for it.
    return step if isinstance(step, int) else 2**63


def _complete_rows(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
