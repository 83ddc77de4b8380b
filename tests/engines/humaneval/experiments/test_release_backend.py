"""A release that asks a server for its student's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest

from openai_server import Fake
from refute.engines.humaneval.experiments.evaluate import evaluate
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.job import Job


class Desk(Protocol):
    """What the fixture `desk` offers."""

    root: Path

    def job(self, config: dict[str, object], out: str = "out", **inputs: Path) -> Job: ...


def of_release(fake: Fake, settings: dict[str, object], problem_file: Path, **change: object) -> dict[str, object]:
    """The configuration of an experiment that asks the server for the student; nothing else of it is there."""
    backend = {
        "kind": "openai",
        "base_url": fake.url,
        "model": "some/model",
        "concurrency": 2,
        "attempts": 3,
        "timeout_s": 10.0,
        "key_variable": "SERVER_KEY",
    }
    return {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": {**settings, "prompt": "completion"},
        "problems_path": str(problem_file),
        "threads": 1,
        "backend": backend,
        **change,
    }


def test_a_release_may_ask_a_server(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the requests are lost, all answers arrive and pass; who answered is evidence, the key is in no file."""
    monkeypatch.setenv("SERVER_KEY", "not-to-be-seen")
    job = desk.job(of_release(fake, settings, problem_file))
    evaluate(job)
    summary = json.loads((job.out / "summary.json").read_text(encoding="utf-8"))
    assert (summary["passed"], summary["repeated"]) == (3, {"samples": 3, "identical": 3})
    assert summary["backend"] == {"kind": "openai", "base_url": fake.url, "model": "some/model"}
    assert (summary["protocol"], summary["sampler_reported_by"]) == ("completion", "requested, not reported")
    assert {(sent["model"], sent["key"]) for sent in fake.requests} == {("some/model", "Bearer not-to-be-seen")}
    kept = [path for folder in (job.out, job.scratch) for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"not-to-be-seen" in path.read_bytes()]


def test_a_server_that_answers_less_than_the_release_allows(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One filtered answer of three ends the run, unless the spec allows a third: then it is a row, and no pass."""
    monkeypatch.setenv("SERVER_KEY", "k")
    fake.mode = "filters"
    with pytest.raises(ExperimentError, match="Own/1: the server's answer is none: its finish_reason"):
        evaluate(desk.job(of_release(fake, settings, problem_file)))
    job = desk.job(of_release(fake, settings, problem_file, allowed_error_share=0.34), "allowed")
    evaluate(job)
    found = [json.loads(line) for line in (job.out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["outcome"], row["passed"]) for row in found] == [
        ("passed", True), ("error", False), ("passed", True),
    ]  # fmt: skip


def test_a_release_keeps_to_its_protocol_and_its_key(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that must be asked for whole answers gives no score of `chat_primed`; without its key nobody asks."""
    config = of_release(fake, settings, problem_file, humaneval=settings)
    with pytest.raises(MissingInputsError, match="no environment variable SERVER_KEY"):
        evaluate(desk.job(config))
    monkeypatch.setenv("SERVER_KEY", "k")
    with pytest.raises(UsageError, match=r"asks by the protocol chat_primed, .* only be asked by chat_answer"):
        evaluate(desk.job(config, "again"))
    assert [sent for sent in fake.requests if "seed" in sent] == []
