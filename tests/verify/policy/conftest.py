"""Keys for everybody, and an honest GO that one of them signed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from enforcing import PEOPLE, House
from refute.attest import PrivateKey, generate_key, load_private_key
from tiny_run import JudgedOnce


@pytest.fixture(scope="session")
def signed_by_gate(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """An honest GO, and a key for everybody."""
    made = JudgedOnce.make(tmp_path_factory.mktemp("signed-by-gate"), "gate")
    for name in PEOPLE:
        if name != "gate":
            generate_key(made.root / "keys", name)
    return made


@pytest.fixture
def keys(signed_by_gate: JudgedOnce, tmp_path: Path) -> dict[str, PrivateKey]:
    """Everybody's key."""
    shutil.copytree(signed_by_gate.root / "keys", tmp_path / "keys", dirs_exist_ok=True)
    return {name: load_private_key(tmp_path / "keys" / f"{name}.key") for name in PEOPLE}


@pytest.fixture
def house(tmp_path: Path, signed_by_gate: JudgedOnce, keys: dict[str, PrivateKey]) -> House:
    """A copy of that GO."""
    return House(tmp_path, keys, signed_by_gate.copy(tmp_path))
