"""A release that requires another's verdict does not begin without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.slow


def test_the_gate_refuses_before_anything_is_run(repo: Repo) -> None:
    """A usage error that lists what is missing: no experiment, no run folder, no verdict."""
    repo.edit(
        "specs/releases/example.yaml",
        "subject: answers",
        "subject: answers\nrequires_verdict: [{release: v1, verdict: v1.json, key: v1.pub}]",
    )
    ended = repo.gate()
    assert ended.returncode == 4
    assert "release 'example' may not begin" in ended.stdout
    assert "- v1: cannot read the public key" in ended.stdout
    assert not (repo.path / ".refute/runs").exists()
