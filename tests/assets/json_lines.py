"""JSON Lines as tests read and write them, whole files at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """A file of these rows and no others."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
