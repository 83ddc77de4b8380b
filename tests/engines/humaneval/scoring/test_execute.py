"""Many samples a problem, executed for real: verdicts, retries, stops, and results that survive a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from json_lines import read_rows
from refute.engines.humaneval.readers.sample_file import Sample
from refute.engines.humaneval.scoring.execute import Limits
from refute.engines.humaneval.scoring.result_log import (
    ResultLog,
    Row,
    identity_path,
    open_results,
    read_identity,
    row_of,
)
from refute.engines.humaneval.scoring.score_samples import score_samples
from refute.engines.humaneval.scoring.tally import Count, count, mean_pass_at_k, timeouts
from refute.errors import UsageError
from refute.humaneval import Isolation, Problem, Result

RIGHT, WRONG = "    return [2 * number for number in numbers]\n", "    return numbers\n"
ENDLESS = "    import time\n    time.sleep(600)\n"
IDENTITY: Mapping[str, object] = {"samples": "s", "limit": 1.0}


def samples_of(*completions: str) -> list[Sample]:
    """Samples of the problem `double_all`, in this order."""
    return [Sample("own/0", index, completion, index + 1) for index, completion in enumerate(completions)]


def run(
    log: ResultLog, problem: Problem, samples: Sequence[Sample], tier: Isolation, *, timeout_s: float = 5.0
) -> list[Row]:
    """Score and return the rows in the order in which they came."""
    told: list[Row] = []
    scored = score_samples([problem], samples, log, Limits(timeout_s, tier, workers=2), on_row=told.append)
    assert (scored.stopped, scored.errors) == (False, {})
    return told


def test_every_sample_gets_its_own_verdict(tmp_path: Path, own: dict[str, Problem], strongest: Isolation) -> None:
    """Completions are executed behind the prompt, as openai/human-eval does, and its keys say what came of them."""
    samples = samples_of(RIGHT, WRONG, RIGHT, "    retur")
    with open_results(tmp_path / "r.jsonl", IDENTITY) as log:
        run(log, own["double_all"], samples, strongest)
        log.sort(("own/0", index) for index in range(4))
    written = read_rows(tmp_path / "r.jsonl")
    assert [each["passed"] for each in written] == [True, False, True, False]
    assert [each["result"].split(" at:")[0] for each in written][:3] == ["passed", "failed: AssertionError", "passed"]
    assert written[3]["result"].startswith("failed: NameError")
    assert {*written[0]} == {"task_id", "completion", "result", "passed", "sample", "retried"}
    assert count(log.rows.values()) == {"own/0": Count(4, 2)}


@pytest.mark.slow
def test_a_timeout_is_retried_alone_and_counted(tmp_path: Path, own: dict[str, Problem], strongest: Isolation) -> None:
    """What never ends stays a timeout after its second chance, comes last, and the count says so."""
    with open_results(tmp_path / "r.jsonl", IDENTITY) as log:
        told = run(log, own["double_all"], samples_of(ENDLESS, RIGHT, WRONG), strongest, timeout_s=3.0)
    assert [(row.sample, row.timed_out, row.retried) for row in told[-1:]] == [(0, True, True)]
    assert not any(row.retried for row in told[:-1])
    assert timeouts(told) == {
        "retried_alone": 1,
        "verdict_when_alone": 0,
        "timed_out": 1,
        "outcome_depended_on_a_timeout": True,
        "tasks_timed_out": ["own/0"],
    }


@pytest.mark.slow
def test_a_program_short_of_memory_is_retried_alone(
    tmp_path: Path, own: dict[str, Problem], strongest: Isolation
) -> None:
    """The same limit, and nobody beside it; more memory, and it passes."""
    greedy = samples_of(f"    bytearray(300 << 20)\n{RIGHT}", WRONG)
    for mib, passed in ((256, False), (512, True)):
        with open_results(tmp_path / f"{mib}.jsonl", IDENTITY) as log:
            limits = Limits(5.0, strongest, mib, workers=2)
            score_samples([own["double_all"]], greedy, log, limits)
        row = log.rows["own/0", 0]
        assert (row.passed, row.retried, "MemoryError" in row.result) == (passed, not passed, not passed)


def test_a_retry_that_came_to_a_verdict_is_counted_apart() -> None:
    """A sample that was only late beside others is no timeout, but the outcome did depend on one."""
    late, early = Row("t/1", "", "passed", True, 0, True), Row("t/0", "", "passed", True, 0, False)
    assert timeouts([early])["outcome_depended_on_a_timeout"] is False
    found = timeouts([early, late])
    assert (found["verdict_when_alone"], found["timed_out"]) == (1, 0)
    assert found["outcome_depended_on_a_timeout"] is True


def test_a_fault_of_the_problem_is_no_row(tmp_path: Path, own: dict[str, Problem], strongest: Isolation) -> None:
    """A check that calls nothing gives no verdict: it is returned as an error and asked again next time."""
    broken = Problem("own/0", own["double_all"].prompt, "double_all", RIGHT, "def check(candidate):\n    pass\n")
    with open_results(tmp_path / "r.jsonl", IDENTITY) as log:
        scored = score_samples([broken], samples_of(RIGHT), log, Limits(5.0, strongest))
    assert ({**log.rows}, scored.stopped) == ({}, False)
    assert "without calling the function" in scored.errors["own/0", 0]
    with pytest.raises(ValueError, match="an error is no verdict"):
        row_of(Result("t", False, "error", "no", 0.0), "", 0)


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, own: dict[str, Problem], strongest: Isolation) -> None:
    """After a stop, and after a kill that tore the last row, only what is missing is executed."""
    path, samples = tmp_path / "r.jsonl", samples_of(RIGHT, WRONG, RIGHT, WRONG, RIGHT)
    told: list[Row] = []
    with open_results(path, IDENTITY) as log:
        scored = score_samples(
            [own["double_all"]],
            samples,
            log,
            Limits(5.0, strongest, workers=1),
            on_row=told.append,
            stop=lambda: len(told) >= 2,
        )
    assert (scored.stopped, len(told)) == (True, 2)
    with path.open("ab") as stream:
        stream.write(b'{"task_id": "own/0", "completion": "    re')
    with open_results(path, IDENTITY) as log:
        again = run(log, own["double_all"], samples, strongest)
        assert sorted(row.sample for row in again) == [2, 3, 4]
        assert [log.rows["own/0", index].passed for index in range(5)] == [True, False, True, False, True]
    with open_results(path, IDENTITY) as log:
        assert run(log, own["double_all"], samples, strongest) == []


def test_results_of_another_run_are_left_alone(tmp_path: Path) -> None:
    """Another identity, no identity, or another process that writes: refused, and the file stays as it is."""
    path, row = tmp_path / "deep" / "r.jsonl", Row("t", "c", "passed", True, 0, False)
    with open_results(path, IDENTITY) as log:
        log.add(row)
        with pytest.raises(UsageError, match="another process writes"), open_results(path, IDENTITY):
            raise AssertionError
    before = path.read_bytes()
    changed = {**IDENTITY, "limit": 2.0}
    with pytest.raises(UsageError, match=r"another run: limit was 1\.0, is 2\.0"), open_results(path, changed):
        raise AssertionError
    assert read_identity(path) == IDENTITY
    identity_path(path).unlink()
    with pytest.raises(UsageError, match=r"no r\.jsonl\.run\.json beside it"), open_results(path, IDENTITY):
        raise AssertionError
    assert (read_identity(path), path.read_bytes()) == (None, before)


def test_pass_at_k_is_a_mean_over_problems() -> None:
    """Usual k up to the smallest number of samples; by hand: 1 - C(3,2)/C(4,2) = 1/2, and 1 - C(2,2)/C(4,2) = 5/6."""
    found = mean_pass_at_k([Count(4, 1), Count(4, 2), Count(4, 0)])
    assert found == pytest.approx({1: (1 / 4 + 2 / 4) / 3, 2: (1 / 2 + 5 / 6) / 3, 4: 2 / 3})
    assert [*mean_pass_at_k([Count(1, 1), Count(30, 1)])] == [1]
    assert mean_pass_at_k([]) == {}
