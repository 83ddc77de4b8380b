"""What a corpus is built from in tests: twelve small files, and a benchmark of one problem."""

from __future__ import annotations

from pathlib import Path

FILES = 12
PROBLEM = {
    "prompt": "def add_up(values):\n    '''the sum of all values that are larger than ten'''\n",
    "canonical_solution": "    return sum(value for value in values if value > 10)\n",
    "test": "def check(candidate):\n    assert candidate([1, 11]) == 11\n",
}


def write_sources(folder: Path) -> Path:
    """The files, each different, with characters of several bytes at which a window may be cut."""
    folder.mkdir()
    for i in range(FILES):
        body = "".join(f"def f_{i}_{j}(n):\n    # é…{j}\n    return n + {i * 100 + j}\n" for j in range(20))
        (folder / f"m{i:02d}.py").write_text(body, encoding="utf-8")
    return folder
