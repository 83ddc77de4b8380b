"""Keys for everybody, and an honest GO that one of them signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from enforcing import PEOPLE, House
from refute.attest import PrivateKey, generate_key, load_private_key
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, PrivateKey]:
    """A key for everybody."""
    return {name: load_private_key(generate_key(tmp_path / "keys", name).private) for name in PEOPLE}


@pytest.fixture
def house(tmp_path: Path, keys: dict[str, PrivateKey], make_run: Callable[..., RunFolder]) -> House:
    """An honest GO."""
    return House(tmp_path, keys, judge_run(make_run(), Operator(keys["gate"], development=False)))
