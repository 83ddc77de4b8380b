"""The roadmap's words come from signed verdicts on criteria as they read today, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import PrivateKey, generate_key, load_private_key, public_pem
from refute.check.roadmap import Roadmap, roadmap
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.spec.criteria import load_spec

if TYPE_CHECKING:
    from tests.conftest import Cli

MakeRun = Callable[..., RunFolder]


def statuses(tmp_path: Path, key: PrivateKey, release: str | None = None) -> Roadmap:
    """The roadmap of the spec that was judged last."""
    return roadmap([load_spec(tmp_path / "spec.yaml").spec], tmp_path / "runs", [public_pem(key)], release)


def signed(run: RunFolder, key: PrivateKey) -> Judged:
    """Its verdict."""
    return judge_run(run, Operator(key, development=False))


@pytest.mark.slow
def test_without_a_verdict_everything_is_planned(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """A run that was not judged says nothing."""
    make_run()
    assert [place.status for place in statuses(tmp_path, key).places] == ["planned", "planned"]


@pytest.mark.slow
def test_a_go_discharges_and_is_named(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """Each criterion carries the payload digest of the verdict that discharges it."""
    judged = signed(make_run(), key)
    found = statuses(tmp_path, key)
    assert [(each.criterion, each.status) for each in found.places] == [
        ("AC-TINY-001", "discharged"),
        ("AC-TINY-002", "discharged"),
    ]
    assert {each.payload_sha256 for each in found.places} == {judged.payload_sha256}
    assert found.refused == ()


@pytest.mark.slow
def test_in_a_no_go_what_holds_is_only_corroborated(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """And what is refuted says so."""
    signed(make_run(right=10), key)
    assert [each.status for each in statuses(tmp_path, key).places] == ["falsified", "corroborated"]


@pytest.mark.slow
def test_the_last_verdict_counts(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """A GO does not outlive a later NO-GO of the same class."""
    first = signed(make_run(), key)
    # Verdicts of one second have no order: the earlier one is made older by its folder's name and its time.
    later = first.predicate.evaluated_at
    second = signed(make_run(right=10), key)
    assert second.predicate.evaluated_at >= later
    assert statuses(tmp_path, key).places[0].status == "falsified"


@pytest.mark.slow
def test_a_larger_run_class_outweighs_a_smaller_one(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """A quick failure after a full success does not take the discharge away, unless its release is asked for."""
    release = (
        "release: big\ntitle: Tiny answers\nrun_class: full\noperator: nobody\nsubject: answers\n"
        "evidence: {answers: answers.jsonl, notes: notes.json}\n"
    )
    signed(make_run(release=release), key)
    signed(make_run(right=10), key)
    assert statuses(tmp_path, key).places[0].status == "discharged"
    assert statuses(tmp_path, key, "tiny").places[0].status == "falsified"


@pytest.mark.slow
def test_a_criterion_that_reads_otherwise_is_planned_again(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> None:
    """A bar that moved after the verdict is not discharged by it; its neighbour still is."""
    signed(make_run(), key)
    path = tmp_path / "spec.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(">= 80 %", ">= 60 %"), encoding="utf-8")
    assert [each.status for each in statuses(tmp_path, key).places] == ["planned", "discharged"]


@pytest.mark.slow
def test_what_a_stranger_signed_or_somebody_changed_does_not_count(
    make_run: MakeRun, key: PrivateKey, tmp_path: Path
) -> None:
    """Both are listed with their reasons, and discharge nothing."""
    signed(make_run(), load_private_key(generate_key(tmp_path / "keys", "stranger").private))
    changed = signed(make_run(), key).path
    changed.write_bytes(changed.read_bytes()[:-40])
    found = statuses(tmp_path, key)
    assert [each.status for each in found.places] == ["planned", "planned"]
    assert len(found.refused) == 2
    assert any("signed by none of the 1 trusted key" in reason for reason in found.refused)


@pytest.mark.slow
def test_the_command_prints_the_table(make_run: MakeRun, cli: Cli, key: PrivateKey, tmp_path: Path) -> None:
    """For people and for programs, with the keys that the caller trusts."""
    judged = signed(make_run(), key)
    (tmp_path / "specs").mkdir()
    (tmp_path / "spec.yaml").rename(tmp_path / "specs" / "spec.yaml")
    given = ("status", "--specs", tmp_path / "specs", "--refute-dir", tmp_path)
    assert cli(*given).returncode == 2  # no development key was ever made
    trusted = (*given, "--key", tmp_path / "keys" / "judge.pub")
    assert f"1  AC-TINY-001  block  discharged      tiny {judged.payload_sha256[:12]}" in cli(*trusted).stdout
    rows = json.loads(cli(*trusted, "--json").stdout)["criteria"]
    assert [row["status"] for row in rows] == ["discharged", "discharged"]
