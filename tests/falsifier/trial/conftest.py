"""A log for what children print, and evidence to try falsifiers on."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.falsifier.context import Evidence


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where children print."""
    return tmp_path / "falsifiers.log"


@pytest.fixture
def evidence(tmp_path: Path) -> dict[str, Evidence]:
    """Real evidence of one file."""
    (tmp_path / "a.json").write_text('{"count": 3}', encoding="utf-8")
    return {"corpus": Evidence("corpus", "d" * 64, tmp_path, {"a.json": "f" * 64})}
