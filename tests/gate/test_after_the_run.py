"""What the commands make of a finished run: judge, report, their formats and exit statuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import key_id

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.gate.conftest import Honest, Repo

pytestmark = pytest.mark.exhaustive

REQUIRED = ("--require", "GO")


@pytest.fixture
def warned(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A run with one answer missing, where that is only worth a warning; recorded, not judged yet, in the folder that
    the commands are called in."""
    head, second = (repo.path / "specs/example.yaml").read_text(encoding="utf-8").split("- id: AC-EXAMPLE-002")
    text = head + "- id: AC-EXAMPLE-002" + second.replace("severity: block", "severity: warn")
    repo.write("specs/example.yaml", text)
    answers = (repo.path / "evidence/answers.jsonl").read_text(encoding="utf-8")
    repo.write("evidence/answers.jsonl", answers.replace('"answer": 0}', '"answer": null}', 1))
    assert repo.gate("--no-judge").returncode == 6
    monkeypatch.chdir(repo.path)
    return repo


def test_warn_is_a_status_of_its_own_unless_it_is_accepted(warned: Repo, cli: Cli) -> None:
    """A run that only taints the release is WARN: 3, and 0 with --accept-warn; for who verifies it, too."""
    ended = cli("judge")
    assert (ended.returncode, warned.rulings()) == (3, ["WARN"])
    assert cli("judge", warned.run, "--accept-warn").returncode == 0
    verify = ("verify", warned.run / "verdict.intoto.json", "--key", warned.keys / "development.pub")
    statuses = {
        options: cli(*verify, *options).returncode for options in ((), REQUIRED, (*REQUIRED, "--accept", "WARN"))
    }
    assert list(statuses.values()) == [0, 3, 0]
    assert json.loads(cli(*verify, *REQUIRED, "--json").stdout)["status"] == 3
    assert cli(*verify, "--accept", "WARN").returncode == 2


def test_a_verdict_is_never_overwritten(warned: Repo, cli: Cli) -> None:
    """Judging again signs a second verdict beside the first, with its own reports, and says its name; `latest` leads
    to the run, and without a name there is nothing left to judge."""
    for number in ("", "-2"):
        ended = cli("judge", warned.run)
        assert (
            f"verdict  {warned.run}/verdict{number}.intoto.json\nreport   {warned.run}/report{number}.html"
            in ended.stdout
        )
    first, second = (warned.run / name for name in ("verdict.intoto.json", "verdict-2.intoto.json"))
    assert first.read_bytes() != second.read_bytes()
    assert [each.identity.sequence for each in warned.predicates()] == [1, 2]
    assert (warned.path / ".refute/runs/latest").resolve() == warned.run
    ended = cli("judge")
    assert (ended.returncode, "is judged already" in ended.stderr) == (2, True)


def test_a_waiver_turns_no_go_into_warn_for_its_subject_alone(warned: Repo, cli: Cli, tmp_path: Path) -> None:
    """A waived block criterion gives WARN that lists the waiver; with another subject digest it changes nothing."""
    cli("judge", warned.run)
    subject = warned.predicates()[0].subject.sha256
    run = (warned.run / "run.json").read_text(encoding="utf-8")
    spec = json.loads(run)["specs"][0]["text"].replace("severity: warn", "severity: block")
    spec = spec.replace("version: 1", "version: 2", 1)
    content = json.loads(run)
    content["specs"][0] |= {"text": spec, "sha256": hashlib.sha256(spec.encode()).hexdigest()}
    (warned.run / "run.json").write_text(json.dumps(content), encoding="utf-8")
    waivers, policy = tmp_path / "waivers.yaml", tmp_path / "policy.yaml"
    policy.write_text("approvers: [Ada]\n", encoding="utf-8")
    for digest, status, applied in ((subject, 3, 1), ("0" * 64, 1, 0)):
        waiver = {"criterion": "AC-EXAMPLE-002", "subject_sha256": digest, "approver": "Ada", "reason": "known"}
        waivers.write_text(json.dumps({"waivers": [waiver | {"expires_at": "2999-01-01T00:00:00Z"}]}), encoding="utf-8")
        assert cli("judge", warned.run, "--waivers", waivers, "--policy", policy).returncode == status
        assert len(warned.predicates()[-1].verdict.waivers_applied) == applied


def test_judge_finds_the_latest_run_and_signs_with_the_given_key(finished: Repo, cli: Cli, tmp_path: Path) -> None:
    """`refute keygen` makes a key; `refute judge` without a run takes the latest, and --json prints its report."""
    made = cli("keygen", "release", "--directory", tmp_path)
    options = ("--refute-dir", finished.path / ".refute", "--key", tmp_path / "release.key")
    ended = cli("judge", *options, "--json")
    shown = json.loads(ended.stdout)
    assert (made.returncode, ended.returncode, shown["verdict"]) == (0, 0, "GO")
    public = (tmp_path / "release.pub").read_bytes()
    assert shown["signer"] == {"development": False, "key_id": key_id(public)}
    assert str(tmp_path / "release.pub") in made.stdout


def test_judging_twice_gives_the_same_verdict(finished: Repo, cli: Cli) -> None:
    """A run may be judged again: same ruling, same subject, nothing doubled."""
    first = cli("judge", finished.run, "--json")
    second = cli("judge", finished.run, "--json")
    kept = ("verdict", "subject", "criteria", "counts", "evidence")
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert {name: one[name] for name in kept} == {name: two[name] for name in kept}


@pytest.mark.parametrize(
    ("name", "start"), [("terminal", "GO: "), ("md", "# "), ("html", "<!doctype html>"), ("json", "{")]
)
def test_each_format_is_rendered_from_the_signed_file(honest: Honest, cli: Cli, name: str, start: str) -> None:
    """`refute report --format …` prints what lies in the run folder, from the verdict alone."""
    verdict, key = honest.repo.run / "verdict.intoto.json", honest.repo.keys / "development.pub"
    ended = cli("report", verdict, "--key", key, "--format", name)
    assert ended.returncode == 0
    assert ended.stdout.lower().startswith(start.lower())
    if name != "terminal":
        assert ended.stdout == (honest.repo.run / f"report.{name}").read_text(encoding="utf-8")


def test_an_unknown_format_is_a_usage_error_that_lists_those_there_are(honest: Honest, cli: Cli) -> None:
    """A misspelt format gives status 2 and the list."""
    verdict, key = honest.repo.run / "verdict.intoto.json", honest.repo.keys / "development.pub"
    ended = cli("report", verdict, "--key", key, "--format", "pdf")
    assert (ended.returncode, "terminal, html, json, md" in ended.stderr) == (2, True)


def test_nothing_is_reported_of_a_verdict_that_does_not_verify(honest: Honest, cli: Cli, tmp_path: Path) -> None:
    """A report of an unverifiable verdict is refused with status 4 before a word of it is shown."""
    cli("keygen", "other", "--directory", tmp_path)
    ended = cli("report", honest.repo.run / "verdict.intoto.json", "--key", tmp_path / "other.pub")
    assert (ended.returncode, ended.stdout) == (4, "")
