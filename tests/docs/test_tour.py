"""The tour shows what commands print now: it is made again, and compared but for digests, dates and times."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_tour_is_what_commands_print_now(tmp_path: Path) -> None:
    """`python docs/tour.py > docs/tour.md` writes it again."""
    described = importlib.util.spec_from_file_location("tour", DOCS / "tour.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    stored = module.masked((DOCS / "tour.md").read_text(encoding="utf-8"))
    assert module.masked(module.tour(tmp_path)) == stored
