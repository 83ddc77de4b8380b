"""A disk that is full: named, nothing half-written in the place of something whole, and what is finished stays."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from full_disk import room_for
from refute.cli.eval.run_folder import claim
from refute.disk import FRESH, open_to_count, write_whole
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


def test_nothing_is_written_through_what_somebody_else_has_laid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link under the name that a fresh file would have, as code of a judged repository may leave in a run's folder:
    not even who guesses that name has anything written at the other end; and a link in the file's own place goes."""
    own, victim = tmp_path / "own", tmp_path / "victim"
    own.mkdir()
    victim.write_bytes(b"before")
    (own / "report.md").symlink_to(victim)
    write_whole(own / "report.md", b"text")
    assert ((own / "report.md").is_symlink(), victim.read_bytes()) == (False, b"before")
    monkeypatch.setattr(secrets, "token_hex", lambda size: "guessed")
    (own / f"report.md.guessed{FRESH}").symlink_to(victim)
    with pytest.raises(UsageError, match="File exists"):
        write_whole(own / "report.md", b"text")
    assert victim.read_bytes() == b"before"


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_a_file_that_counts_is_a_file(tmp_path: Path, kind: str) -> None:
    """Neither a link, which may lead anywhere, nor a pipe, which may never answer."""
    path, other = tmp_path / "count", tmp_path / "other"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
    if kind == "link":
        other.write_bytes(b"before")
    with pytest.raises(OSError, match=r"count"), open_to_count(path):
        pass
    assert not other.exists() or other.read_bytes() == b"before"
    with open_to_count(tmp_path / "real") as stream:
        stream.write("7")
    with open_to_count(tmp_path / "real") as stream:
        assert stream.read() == "7"


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
