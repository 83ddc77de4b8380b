"""A disk that is full: named, nothing half-written in the place of something whole, and what is finished stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from full_disk import room_for
from refute.cli.eval.run_folder import claim
from refute.disk import write_whole
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sample_log import SampleLog, write_samples
from refute.errors import UnwritableError, UsageError


def completion(number: int) -> Completion:
    """A sample of some hundred bytes."""
    return Completion(f"Own/{number}", "x" * 100, 7, "eos")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays, and nothing lies beside it."""
    path = tmp_path / "kept"
    write_whole(path, b"before")
    with room_for(10), pytest.raises(UnwritableError, match=r"cannot write .*kept: File too large") as caught:
        write_whole(path, b"x" * 100)
    assert (path.read_bytes(), [each.name for each in tmp_path.iterdir()]) == (b"before", ["kept"])
    assert "run the same command again" in caught.value.hint


def test_a_torn_sample_costs_itself_only(tmp_path: Path) -> None:
    """The error names the file, closing the log raises nothing more, and the next run has every whole row."""
    path = tmp_path / "work" / "samples.jsonl"
    with SampleLog(path, "key") as log:
        log.add(completion(0))
        with room_for(path.stat().st_size + 50), pytest.raises(UnwritableError, match=r"50 of .* bytes were taken"):
            log.add(completion(1))
    assert path.read_bytes().count(b"\n") == 1
    with SampleLog(path, "key") as log:
        assert list(log.done) == [("Own/0", 0)]
        log.add(completion(1))
        assert log.done["Own/1", 0] == completion(1)
    assert [json.loads(line)["task_id"] for line in path.read_text(encoding="utf-8").splitlines()] == ["Own/0", "Own/1"]


def test_a_log_that_cannot_be_opened_is_the_same_error(tmp_path: Path) -> None:
    """Neither a folder that cannot be made nor a file that cannot be rewritten ends in a traceback."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write"):
        SampleLog(tmp_path / "file" / "samples.jsonl", "key")
    path = tmp_path / "samples.jsonl"
    with SampleLog(path, "key") as log:
        log.add(completion(0))
    with room_for(10), pytest.raises(UnwritableError, match="File too large"):
        SampleLog(path, "key")
    with room_for(10), pytest.raises(UnwritableError, match="File too large"):
        write_samples(tmp_path / "out.jsonl", [completion(0)])
    with SampleLog(path, "key") as log:
        assert list(log.done) == [("Own/0", 0)]


def test_a_folder_that_could_not_be_claimed_is_claimed_later(tmp_path: Path) -> None:
    """Neither a full disk nor a kill in the middle makes it look like somebody else's."""
    out = tmp_path / "out"
    with room_for(3), pytest.raises(UnwritableError, match="File too large"):
        claim(out, {"model": "a"})
    (out / "run.json.new").write_text("{", encoding="utf-8")
    claim(out, {"model": "a"})
    assert json.loads((out / "run.json").read_text(encoding="utf-8")) == {"model": "a"}
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write"):
        claim(tmp_path / "file" / "out", {})
