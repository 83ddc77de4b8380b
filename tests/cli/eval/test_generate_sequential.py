"""A server is asked only until its score is decided against a bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openai_server import Fake, arguments

if TYPE_CHECKING:
    from tests.conftest import Cli


UNDECIDED = ("--bar", 50, "--look-every", 1, "--concurrency", 1, "--json")


@pytest.mark.slow
def test_a_bar_ends_the_asking(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One right answer decides against 1 %: nothing else is asked, but that answer once more; the table says so."""
    fake.mode = "works"
    rule = ("--bar", 1, "--error-rate", 0.4, "--look-every", 1)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *rule))
    assert (ended.returncode, len(fake.requests)) == (0, 2), ended.stderr
    assert "generate 1/3  retries 0  passed 0  bar % 1  interval sequential" in ended.stderr
    assert "lies above 1 %" in ended.stdout
    assert "ended at look 1 of 3, 1 of 3 problems" in ended.stdout
    again = cli(*arguments(fake, problem_file, tmp_path / "out", *rule, "--json"))
    summary = json.loads(again.stdout)
    assert (summary["mode"], summary["decision"], summary["executed_now"], len(fake.requests)) == (
        "sequential", "above", 0, 2,
    )  # fmt: skip
    other = cli(*arguments(fake, problem_file, tmp_path / "out", "--bar", 2))
    assert (other.returncode, "holds another run: sequential was" in other.stderr) == (2, True)


@pytest.mark.slow
def test_what_is_asked_until_decided_is_scored_as_a_file_would_be(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """The same rows, decision and interval as `eval score --bar` gives for the samples of a whole run."""
    fake.mode = "works"
    assert cli(*arguments(fake, problem_file, tmp_path / "whole")).returncode == 0
    found = json.loads(cli(*arguments(fake, problem_file, tmp_path / "out", *UNDECIDED)).stdout)
    scored = json.loads(
        cli(
            "eval", "score", tmp_path / "whole" / "samples.jsonl", "--out", tmp_path / "r.jsonl", "--problems",
            problem_file, "--minimum-isolation", "rlimits", "--bar", 50, "--look-every", 1, "--json",
        ).stdout
    )  # fmt: skip
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == (tmp_path / "r.jsonl").read_bytes()
    assert {name: found[name] for name in ("decision", "interval", "passed")} == {
        name: scored[name] for name in ("decision", "interval", "passed")
    }
    assert (found["decision"], found["problems"]) == ("open", 3)


@pytest.mark.slow
def test_ctrl_c_before_the_bar_is_decided(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Status 130; the same command asks for what is missing, then for each once more, and executes nothing twice."""
    fake.mode = "interrupts"
    command = arguments(fake, problem_file, tmp_path / "out", *UNDECIDED)
    ended = cli(*command)
    assert (ended.returncode, "the same command goes on from there" in ended.stderr) == (130, True), ended.stderr
    rows = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert rows.count(b"\n") == 1
    before, fake.mode = len(fake.requests), "works"
    ended = cli(*command)
    summary = json.loads(ended.stdout)
    assert (summary["executed_now"], summary["passed"], len(fake.requests) - before) == (2, 3, 1 + 3)
    assert (tmp_path / "out" / "results.jsonl").read_bytes().startswith(rows)


@pytest.mark.slow
def test_an_answer_that_is_missing_when_the_bar_is_decided_failed(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Within the share it is no pass and not left out, also when the run is read again; beyond it: both numbers."""
    fake.mode = "filters"
    command = arguments(fake, problem_file, tmp_path / "out", *UNDECIDED, "--allowed-errors")
    ended = cli(*command, 0.3)
    assert (ended.returncode, "(33.3 %), 30 % may have none; the last: Own/1" in ended.stderr) == (7, True)
    assert not (tmp_path / "out" / "summary.json").exists()
    for _ in range(2):
        summary = json.loads(cli(*command, 0.34).stdout)
        assert (summary["problems"], summary["passed"], summary["pass_at_1"]) == (3, 2, 2 / 3)
        assert [each["task_id"] for each in summary["errors"]] == ["Own/1"]
    assert "not scored: Own/1, sample 0" in cli(*[each for each in command if each != "--json"], 0.34).stdout
    assert cli(*command, 0.3).returncode == 7


@pytest.mark.slow
def test_a_share_is_of_the_problems_that_were_put(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One of two is missing when the run ends early: that is more than the 34 % that would do for three."""
    fake.mode = "filters"
    rule = ("--bar", 1, "--error-rate", 0.4, "--look-every", 2, "--allowed-errors", 0.34)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *rule))
    assert (ended.returncode, "1 of 2 samples have no verdict (50 %), 34 % may have none" in ended.stderr) == (7, True)


def test_a_bar_takes_one_sample_a_problem(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Several samples of one problem are no independent observations: refused before anything is asked."""
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *UNDECIDED, "-n", 2, "-t", 0.2))
    assert (ended.returncode, "one sample a problem, not 2" in ended.stderr, fake.requests) == (2, True, [])
