"""`--store URL`: two machines, one store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive


def test_what_one_machine_took_in_another_judges(repo: Repo) -> None:
    """Each keeps it in a cache of its own, both rule GO, a run names the URL, and the repository gets no store."""
    url = f"file://{repo.path.parent}/shared"
    for machine in ("one", "other"):
        ended = repo.gate("--store", url, env={"REFUTE_CACHE": str(repo.path.parent / machine)})
        assert ended.returncode == 0, ended.stdout
    assert repo.rulings() == ["GO", "GO"]
    assert json.loads((repo.run / "run.json").read_text(encoding="utf-8"))["store"] == url
    assert len(list((repo.path.parent / "shared" / "keys").iterdir())) == 1
    assert not (repo.path / ".refute" / "store").exists()
