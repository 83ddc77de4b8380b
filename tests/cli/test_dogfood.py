"""`refute dogfood` judges refute, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from refute.evidence.plan import plan_release
from refute.spec.files import load_release

RELEASES = Path(__file__).parents[2] / "specs" / "releases"


def test_a_release_about_something_else_is_refused(cli: Callable[..., CompletedProcess[str]]) -> None:
    """Before anything is run."""
    ended = cli("dogfood", RELEASES / "quick.yaml")
    assert ended.returncode == 2
    assert "has no `dogfood`" in ended.stderr


def test_the_shipped_release_plans_probes_of_a_small_world() -> None:
    """And nothing that is fetched."""
    plan = plan_release(load_release(RELEASES / "dogfood.yaml").release, RELEASES)
    assert list(plan) == ["release", "small_world", "dogfood"]
    assert plan["dogfood"].needs == ("small_world",)
