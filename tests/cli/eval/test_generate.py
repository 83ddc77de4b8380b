"""`refute eval humaneval` on a tiny model: samples, results and summary, kills, and models that cannot be scored."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from json_lines import read_rows
from refute.attest import model_digest
from refute.cli.eval.generation_report import require_sampled
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.diversity import diversity
from refute.engines.humaneval.samples.sampler import GREEDY, make_sampler
from refute.errors import ExperimentError

if TYPE_CHECKING:
    from tests.conftest import Cli


def arguments(student: Path, problem_file: Path, out: Path, *more: object) -> list[str]:
    """`eval humaneval` for the tiny model and three problems."""
    fixed = ["eval", "humaneval", "--model", student / "model", "--problems", problem_file, "--out", out]
    fixed += ["--protocol", "chat", "--max-new-tokens", 12, "--threads", 1, "--minimum-isolation", "rlimits"]
    return [str(each) for each in (*fixed, *more)]


@pytest.mark.slow
def test_greedy_samples_are_scored_and_say_how_they_were_made(
    cli: Cli, tmp_path: Path, student: Path, problem_file: Path
) -> None:
    """Three files that agree with each other; a second call does nothing again, and another folder gives the same."""
    out = tmp_path / "out"
    ended = cli(*arguments(student, problem_file, out, "--json"))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert (ended.returncode, json.loads(ended.stdout)) == (0, summary)
    samples, results = read_rows(out / "samples.jsonl"), read_rows(out / "results.jsonl")
    assert [row["task_id"] for row in samples] == ["Own/0", "Own/1", "Own/2"]
    assert [row["completion"] for row in results] == [row["completion"] for row in samples]
    assert (summary["samples"], summary["scored"], summary["problems"]) == (3, 3, 3)
    made = summary["generation"]
    assert made["model_sha256"] == model_digest(student / "model")
    assert made["problems_sha256"] == hashlib.sha256(problem_file.read_bytes()).hexdigest()
    assert (made["protocol"], made["effective_sampler"]["method"]) == ("chat_primed", "argmax")
    assert made["repeated"] == {"samples": 3, "identical": 3, "must_be_identical": True}
    assert (made["sampler_reported_by"], made["errors"]) == ("the sampler", [])
    assert {"torch", "transformers", "refute", "python"} <= {*made["versions"]}
    again = json.loads(cli(*arguments(student, problem_file, out, "--json")).stdout)
    assert (again["executed_now"], again["generation"]) == (0, made)
    assert cli(*arguments(student, problem_file, tmp_path / "other")).returncode == 0
    assert (tmp_path / "other" / "samples.jsonl").read_bytes() == (out / "samples.jsonl").read_bytes()


@pytest.mark.slow
def test_drawn_samples_differ_and_are_counted(cli: Cli, tmp_path: Path, student: Path, problem_file: Path) -> None:
    """n = 4 at T = 1: four rows a problem, pass@4, and how many differ; the scorer reads the file as its own."""
    out = tmp_path / "out"
    ended = cli(*arguments(student, problem_file, out, "-n", 4, "-t", 1.0, "--limit", 2, "--batch-size", 3))
    assert ended.returncode == 0, ended.stderr
    assert "pass@4" in ended.stdout
    assert "samples came out the same again" in ended.stdout
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["generation"]["effective_sampler"] == {
        "method": "top_p",
        "temperature": 1.0,
        "n": 4,
        "repetition_penalty": 1.0,
        "top_p": 0.95,
        "seed": 17,
    }
    texts = [row["completion"] for row in read_rows(out / "samples.jsonl")]
    found = summary["generation"]["diversity"]
    assert (found["samples"], found["problems"]) == (8, 2)
    assert found["distinct_samples"] == len(set(texts[:4])) + len(set(texts[4:])) > 2
    scored = cli(
        "eval", "score", out / "samples.jsonl", "--out", tmp_path / "r.jsonl", "--problems", problem_file,
        "--partial", "--minimum-isolation", "rlimits",
    )  # fmt: skip
    assert scored.returncode == 0
    assert (tmp_path / "r.jsonl").read_bytes() == (out / "results.jsonl").read_bytes()


@pytest.mark.exhaustive
def test_a_killed_run_goes_on_to_the_same_samples(tmp_path: Path, student: Path, problem_file: Path, cli: Cli) -> None:
    """Killed while it generates: what was finished is kept, and the files are those of a run that nothing disturbed."""
    more = ("-n", 20, "-t", 1.0, "--batch-size", 2)
    out, calm = tmp_path / "out", tmp_path / "calm"
    log = out / "work" / "samples.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "refute", *arguments(student, problem_file, out, *more)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while not (log.exists() and log.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = log.read_bytes()
    assert 2 < kept.count(b"\n") < 60
    assert not (out / "samples.jsonl").exists()
    assert cli(*arguments(student, problem_file, out, *more)).returncode == 0
    assert set(kept.split(b"\n")[:-1]) <= set(log.read_bytes().split(b"\n"))
    assert cli(*arguments(student, problem_file, calm, *more)).returncode == 0
    for name in ("samples.jsonl", "results.jsonl"):
        assert (out / name).read_bytes() == (calm / name).read_bytes()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(cli: Cli, tmp_path: Path, student: Path, problem_file: Path) -> None:
    """Status 130 and a word on how to go on; the next call has less to do and ends well."""
    out = tmp_path / "out"
    command = arguments(student, problem_file, out, "-n", 12, "-t", 1.0, "--batch-size", 1)
    log = out / "work" / "samples.jsonl"

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not (log.exists() and log.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = cli(*command)
    thread.join()
    assert (ended.returncode, "refute: stopped; " in ended.stderr) == (130, True), ended.stderr
    assert "the same command goes on from there" in ended.stderr
    kept = set(log.read_bytes().splitlines())
    assert len(kept) > 2
    assert not (out / "summary.json").exists()
    assert cli(*command).returncode == 0
    assert kept <= set(log.read_bytes().splitlines())


@pytest.mark.slow
def test_a_bar_ends_the_generation(cli: Cli, tmp_path: Path, student: Path, problem_file: Path) -> None:
    """One wrong answer decides against 95 %: one sample is generated, and the files are about that problem alone."""
    out = tmp_path / "out"
    rule = ("--bar", 95, "--error-rate", 0.4, "--look-every", 1)
    ended = cli(*arguments(student, problem_file, out, *rule, "--json"))
    summary = json.loads(ended.stdout)
    assert (ended.returncode, summary["decision"], summary["problems"]) == (0, "below", 1), ended.stderr
    assert summary["interval"]["method"].endswith("ended at look 1 of 3, 1 of 3 problems")
    assert summary["interval"]["high"] < 95
    assert summary["generation"]["repeated"] == {"samples": 1, "identical": 1, "must_be_identical": True}
    # The first of the seeded order.
    assert [row["task_id"] for row in read_rows(out / "samples.jsonl")] == ["Own/2"]
    assert [row["task_id"] for row in read_rows(out / "results.jsonl")] == ["Own/2"]
    assert len(read_rows(out / "work" / "samples.jsonl")) == 1
    assert "lies below 95 %" in cli(*arguments(student, problem_file, out, *rule)).stdout


@pytest.mark.slow
def test_a_folder_keeps_to_one_run(cli: Cli, tmp_path: Path, student: Path, problem_file: Path) -> None:
    """Another model, sampler or file of problems under the same --out is refused; so is a folder of something else."""
    out = tmp_path / "out"
    assert cli(*arguments(student, problem_file, out)).returncode == 0
    ended = cli(*arguments(student, problem_file, out, "--max-new-tokens", 13))
    assert (ended.returncode, "max_new_tokens was 12, is 13" in ended.stderr) == (2, True)
    weights = student / "model" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})
    ended = cli(*arguments(student, problem_file, out))
    assert (ended.returncode, "model_sha256 was" in ended.stderr) == (2, True)
    ended = cli(*arguments(student, problem_file, student))
    assert (ended.returncode, "is not empty" in ended.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no tokenizer", "no weights", "no folder", "NaN"])
def test_a_model_that_cannot_answer_is_an_error_and_no_score(
    cli: Cli, tmp_path: Path, student: Path, problem_file: Path, fault: str
) -> None:
    """Exit 2 with the reason, 7 where only its sums tell; neither results nor a summary are written."""
    model, out = student / "model", tmp_path / "out"
    expected = {"no tokenizer": "no usable tokenizer", "no weights": "no usable model", "NaN": "are NaN or infinite"}
    if fault == "NaN":
        tensors = load_file(model / "model.safetensors")
        tensors["lm_head.weight"] = torch.full_like(tensors["lm_head.weight"], float("nan"))
        save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    elif fault == "no folder":
        model.rename(student / "gone")
    else:
        for path in model.glob({"no tokenizer": "tokenizer*", "no weights": "*.safetensors"}[fault]):
            path.unlink()
    ended = cli(*arguments(student, problem_file, out))
    status = 7 if fault == "NaN" else 2
    assert (ended.returncode, expected.get(fault, "no model at") in ended.stderr) == (status, True), ended.stderr
    assert not [name for name in ("results.jsonl", "summary.json", "samples.jsonl") if (out / name).exists()]


def measured(samples: list[Completion], *, identical: int = 2, must: bool = True) -> dict[str, object]:
    """The evidence of `samples`, two of which were asked for again."""
    repeated = {"samples": 2, "identical": identical, "must_be_identical": must}
    return {"diversity": diversity(samples), "repeated": repeated, "samples_depend_on": "the batch"}


def test_samples_that_are_all_alike_are_an_error() -> None:
    """A sampler that gives every problem one text n times does not sample; one problem of many may."""
    drawn = make_sampler(n=3, temperature=0.2, top_p=0.95, seed=1)
    alike = [Completion(f"t/{task}", f"text {task}", 1, "eos", number) for task in range(2) for number in range(3)]
    with pytest.raises(ExperimentError, match="of each of 2 problems are all identical"):
        require_sampled(drawn, measured(alike))
    require_sampled(drawn, measured([*alike[1:], Completion("t/0", "other", 1, "eos", 0)]))
    require_sampled(GREEDY, measured(alike[::3]))
    with pytest.raises(ExperimentError, match="nothing was drawn"):
        require_sampled(drawn, measured(alike[::3]))


def test_samples_that_do_not_come_out_the_same_again_are_an_error() -> None:
    """At temperature 0, and wherever the backend promises it; a server that draws may differ."""
    one = [Completion("t/0", "text", 1, "eos")]
    with pytest.raises(ExperimentError, match=r"at T = 0 only 1 of 2 samples .* depends on the batch"):
        require_sampled(GREEDY, measured(one, identical=1))
    require_sampled(GREEDY, measured(one, identical=1, must=False))
