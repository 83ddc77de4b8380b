"""`refute eval` as a user calls it: real sandbox, real kills, real files."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from json_lines import read_rows, write_rows
from refute.cli.eval.figures import pass_intervals
from refute.engines.humaneval.problems.known_files import OFFICIAL_PROBLEMS

if TYPE_CHECKING:
    from tests.conftest import Cli

OWN = Path(__file__).parents[2] / "assets" / "own_problems.jsonl"
PROBLEMS = read_rows(OWN)
CASES = OWN.parent / "eval_cases"
WRONG = "    return None\n"
SLOW = "\n\nimport time\ntime.sleep(0.25)\n"
TIER = ("--minimum-isolation", "rlimits")


def samples_file(path: Path, completions: Mapping[str, str], *, n: int = 1) -> Path:
    """`n` times a right answer to each problem, but for those given."""
    rows = [
        {
            "task_id": problem["task_id"],
            "completion": completions.get(problem["task_id"], problem["canonical_solution"]),
        }
        for problem in PROBLEMS * n
    ]
    write_rows(path, rows)
    return path


def command(samples: Path, out: Path) -> list[str]:
    """`refute eval score` for a process of its own."""
    arguments = ["eval", "score", str(samples), "--out", str(out), "--problems", str(OWN), *TIER]
    return [sys.executable, "-m", "refute", *arguments, "--workers", "1", "--json"]


@pytest.mark.slow
def test_scoring_prints_the_number_and_writes_the_rows(cli: Cli, tmp_path: Path) -> None:
    """Five of six: the share, both intervals, timeouts, the tier, and one row a sample in the samples' order."""
    samples, out = samples_file(tmp_path / "s.jsonl", {"own/3": WRONG}), tmp_path / "r.jsonl"
    ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER)
    assert ended.returncode == 0, ended.stderr
    assert "pass@1    83.33 %   95 % Wilson [43.65, 96.99], Clopper-Pearson [35.88, 99.58]" in ended.stdout
    assert "timeouts  0, after 0 retried alone for time or memory; no outcome depended on one" in ended.stdout
    known = f"known by its digest; sha256 {hashlib.sha256(OWN.read_bytes()).hexdigest()}"
    assert f"problems  no published file that is {known}" in ended.stdout
    assert "samples/s" in ended.stderr
    assert [row["task_id"] for row in read_rows(out)] == [problem["task_id"] for problem in PROBLEMS]
    assert [row["passed"] for row in read_rows(out)] == [True, True, True, False, True, True]


@pytest.mark.slow
def test_several_samples_a_problem_give_pass_at_k_and_an_interval_over_problems(cli: Cli, tmp_path: Path) -> None:
    """With two samples each the intervals of independent samples are not shown; pass@2 is."""
    samples, out = samples_file(tmp_path / "s.jsonl", {}, n=2), tmp_path / "r.jsonl"
    rows = read_rows(samples)
    rows[0]["completion"] = WRONG
    write_rows(samples, rows)
    ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, "--json")
    figures = json.loads(ended.stdout)
    assert (ended.returncode, figures["samples_a_problem"], figures["executed_now"]) == (0, [2, 2], 12)
    assert figures["pass_at_k"] == pytest.approx({"1": 11 / 12, "2": 1.0})
    assert [each["method"] for each in figures["pass_at_1_intervals"]] == ["Agresti-Coull over problems"]
    again = json.loads(cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, "--json").stdout)
    assert again["executed_now"] == 0
    assert {**again, "wall_s": 0, "executed_now": 0} == {**figures, "wall_s": 0, "executed_now": 0}


@pytest.mark.parametrize("name", ["zero_of_328", "one_of_328"])
def test_few_passes_of_many_samples_are_no_certainty(name: str) -> None:
    """Two samples of 164 problems: with one pass or none the upper end is at least what the problems allow, 2.29 %."""
    solved: dict[str, list[bool]] = {}
    for row in read_rows(CASES / f"{name}.jsonl"):
        solved.setdefault(row["task_id"], []).append(row["completion"] != "    raise ValueError\n")
    assert sum(map(sum, solved.values())) == (name == "one_of_328")
    intervals = pass_intervals([sum(passes) / len(passes) for passes in solved.values()])
    assert intervals[0].high >= 0.0228


@pytest.mark.slow
def test_problems_that_agree_are_no_certainty(cli: Cli, tmp_path: Path) -> None:
    """Half of each problem's samples pass: not exactly 50 %."""
    arguments = ("--problems", CASES / "toy_problems.jsonl", "--out", tmp_path / "r.jsonl", *TIER, "--json")
    ended = cli("eval", "score", CASES / "score" / "56_four_samples.jsonl", *arguments)
    (only,) = json.loads(ended.stdout)["pass_at_1_intervals"]
    assert (ended.returncode, only["low"] < 0.3, only["high"] > 0.7) == (0, True, True)


@pytest.mark.slow
def test_broken_lines_are_named_and_the_rest_is_scored(cli: Cli, tmp_path: Path) -> None:
    """A torn line and an unknown task: exit 1, their numbers, and five verdicts."""
    samples, out = samples_file(tmp_path / "s.jsonl", {}), tmp_path / "r.jsonl"
    lines = samples.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1][:20]
    samples.write_text("\n".join([*lines, '{"task_id": "own/99", "completion": ""}']) + "\n", encoding="utf-8")
    ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER)
    assert ended.returncode == 1
    assert "line 2: not JSON" in ended.stdout
    assert "line 7: unknown task 'own/99'" in ended.stdout
    assert "missing   1 problems without a sample: own/1" in ended.stdout
    assert sum(row["passed"] for row in read_rows(out)) == 5


@pytest.mark.slow
def test_missing_problems_need_partial(cli: Cli, tmp_path: Path) -> None:
    """Without it nothing is executed and they are named; with it the figures say what they are about."""
    samples, out = samples_file(tmp_path / "s.jsonl", {}), tmp_path / "r.jsonl"
    lines = samples.read_text(encoding="utf-8").splitlines()
    samples.write_text("\n".join([*lines[:4], lines[0]]), encoding="utf-8")
    arguments = ("eval", "score", samples, "--out", out, "--problems", OWN, *TIER)
    ended = cli(*arguments)
    assert (ended.returncode, out.exists()) == (2, False)
    assert "problems without a sample, 2: own/4, own/5; with another number than most, 1: own/0 (lines 1, 5)" in (
        ended.stderr
    )
    ended = cli(*arguments, "--partial", "--json")
    figures = json.loads(ended.stdout)
    assert (ended.returncode, figures["missing_problems"], figures["problems"]) == (0, ["own/4", "own/5"], 4)
    assert figures["uneven_problems"] == {"own/0": [1, 5]}


@pytest.mark.parametrize("named", ["samples", "problems"])
@pytest.mark.parametrize("rule", [(), ("--bar", "60")])
@pytest.mark.parametrize("text", [None, "", "{", "[1]\n"])
def test_a_file_that_is_not_what_was_named_is_called_wrongly(
    cli: Cli, tmp_path: Path, named: str, rule: tuple[str, ...], text: str | None
) -> None:
    """Absent, empty, cut or of another kind: exit 2 with the file's name, and nothing is executed."""
    files = {"samples": samples_file(tmp_path / "s.jsonl", {}), "problems": OWN, named: tmp_path / "faulty.jsonl"}
    if text is not None:
        files[named].write_text(text, encoding="utf-8")
    out = tmp_path / "r.jsonl"
    ended = cli("eval", "score", files["samples"], "--out", out, "--problems", files["problems"], *TIER, *rule)
    assert (ended.returncode, "faulty.jsonl" in ended.stderr, out.exists()) == (2, True, False), ended.stderr


def test_a_changed_official_file_is_refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --problems only the bytes that everybody scores will do."""
    place = tmp_path / OFFICIAL_PROBLEMS.sha256[:16] / "HumanEval.jsonl.gz"
    place.parent.mkdir()
    place.write_bytes(OWN.read_bytes())
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path))
    ended = cli("eval", "score", samples_file(tmp_path / "s.jsonl", {}), "--out", tmp_path / "r.jsonl", *TIER)
    assert ended.returncode == 7
    assert f"the release names {OFFICIAL_PROBLEMS.sha256}" in ended.stderr


@pytest.mark.slow
def test_results_of_other_samples_are_not_mixed(cli: Cli, tmp_path: Path) -> None:
    """A second samples file with the same --out is refused, and so is another time limit."""
    out = tmp_path / "r.jsonl"
    arguments = ("--out", out, "--problems", OWN, *TIER)
    samples = samples_file(tmp_path / "s.jsonl", {})
    assert cli("eval", "score", samples, *arguments).returncode == 0
    before = out.read_bytes()
    other = cli("eval", "score", samples_file(tmp_path / "o.jsonl", {"own/0": WRONG}), *arguments)
    slower = cli("eval", "score", samples, *arguments, "--timeout", 7)
    assert (other.returncode, slower.returncode, out.read_bytes()) == (2, 2, before)
    assert "results of another run: samples_sha256 was" in other.stderr
    assert "timeout_s was 10.0, is 7.0" in slower.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, number: int, status: int) -> None:
    """Ctrl-C says so and keeps what is done; after a kill the rows are there too. Nothing is executed twice."""
    slow = {problem["task_id"]: problem["canonical_solution"] + SLOW for problem in PROBLEMS}
    samples, out = samples_file(tmp_path / "s.jsonl", slow, n=2), tmp_path / "r.jsonl"
    running = subprocess.Popen(command(samples, out), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out.exists() and len(read_rows(out)) >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    kept = len(read_rows(out))
    assert (running.returncode, 2 <= kept < 12) == (status, True), errors
    if number == signal.SIGINT:
        assert f"refute: stopped; {kept} of 12 samples are scored" in errors
    done = subprocess.run(command(samples, out), capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert (figures["executed_now"], figures["scored"], figures["passed"]) == (12 - kept, 12, 12)
    assert f"{kept} samples were scored before" in done.stderr


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_the_rows_before_it_count(tmp_path: Path) -> None:
    """Where the file may not grow the command ends with the reason; with room it goes on from the rows that fitted."""
    long = {"own/2": "    # " + "x" * 4000 + "\n    return 2 * n - 1\n"}
    samples, out = samples_file(tmp_path / "s.jsonl", long), tmp_path / "r.jsonl"

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    # Python would leave what it compiles cut short, for whoever comes next.
    kept = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        command(samples, out), capture_output=True, text=True, check=False, preexec_fn=fill, env=kept
    )
    assert ended.returncode == 7
    assert f"refute: cannot write {out}: " in ended.stderr
    figures = json.loads(subprocess.run(command(samples, out), capture_output=True, text=True, check=True).stdout)
    assert (figures["executed_now"], figures["scored"], figures["passed"]) == (4, 6, 6)
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.slow
def test_a_sequential_run_stops_when_the_bar_is_decided(cli: Cli, tmp_path: Path) -> None:
    """Nothing solved: after the first look that can say so nothing more is executed, and the interval allows for it."""
    samples = samples_file(tmp_path / "s.jsonl", {problem["task_id"]: WRONG for problem in PROBLEMS})
    out, rule = tmp_path / "r.jsonl", ("--bar", "80", "--error-rate", "0.2", "--look-every", "1")
    ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, *rule, "--json")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["decision"], found["problems"], found["executed_now"]) == (0, "below", 2, 2)
    assert len(read_rows(out)) == 2
    assert found["interval"]["high"] < 80
    assert found["interval"]["method"].endswith("ended at look 2 of 6, 2 of 6 problems")
    again = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, *rule)
    assert "lies below 80 %" in again.stdout
    assert "0 of 2 problems; 4 more were not needed" in again.stdout
    other = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, "--bar", "70")
    assert (other.returncode, "results of another run: sequential was" in other.stderr) == (2, True)


@pytest.mark.slow
def test_a_sequential_run_that_is_never_decided_uses_every_problem(cli: Cli, tmp_path: Path) -> None:
    """Five of six against 60 %: open, and said so."""
    samples, out = samples_file(tmp_path / "s.jsonl", {"own/3": WRONG}), tmp_path / "r.jsonl"
    ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, "--bar", "60", "--json")
    found = json.loads(ended.stdout)
    assert (found["decision"], found["problems"], found["passed"]) == ("open", 6, 5)
    assert found["interval"]["low"] < 60 < found["interval"]["high"]


@pytest.mark.slow
def test_a_sequential_run_wants_one_sample_of_every_problem(cli: Cli, tmp_path: Path) -> None:
    """Two each, one missing, a broken line, a bar without sense: a usage error before anything is executed."""
    out = tmp_path / "r.jsonl"
    twice = samples_file(tmp_path / "2.jsonl", {}, n=2)
    short = tmp_path / "1.jsonl"
    short.write_text("".join(f"{json.dumps(row)}\n" for row in read_rows(twice)[:5]), encoding="utf-8")
    broken = tmp_path / "b.jsonl"
    broken.write_text(short.read_text(encoding="utf-8") + "{\n", encoding="utf-8")
    for samples, bar, message in (
        (twice, "15", "12 samples of 6 problems"),
        (short, "15", "no sample of own/5"),
        (broken, "15", "line 6: not JSON"),
        (twice, "100", "no such sequential test"),
    ):
        ended = cli("eval", "score", samples, "--out", out, "--problems", OWN, *TIER, "--bar", bar)
        assert (ended.returncode, message in " ".join(ended.stderr.split())) == (2, True), ended.stderr
    assert not out.exists()
