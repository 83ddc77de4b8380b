"""Evidence that needs no engine: files of one's own, filed as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from free_config import free
from refute.errors import MissingInputsError, RefuteError
from refute.evidence.experiment import Experiment, Located, TakenFiles, TakenText
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.store import Store

Take = Callable[..., Laboratory]


@pytest.fixture
def take(tmp_path: Path, silence: Watcher) -> Take:
    """take(experiment, …): a laboratory of these over an empty store."""
    return lambda *experiments: Laboratory(
        {each.name: each for each in experiments}, Store(tmp_path / "store"), silence
    )


def taken_in(path: Path) -> Experiment:
    """The experiment that files `path` as it is."""
    return Experiment(
        "answers", "take in", None, lambda at: TakenFiles(path=at(Located(lambda: "0" * 64, lambda: path)))
    )


def test_files_are_taken_in_as_they_are(take: Take, tmp_path: Path) -> None:
    """A file, a folder, symbolic links to files; the user's own files keep their mode and stay independent."""
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a", encoding="utf-8")
    (tmp_path / "elsewhere.txt").write_text("b", encoding="utf-8")
    (folder / "link.txt").symlink_to("../elsewhere.txt")
    mode = (folder / "sub" / "a.txt").stat().st_mode
    evidence = take(taken_in(folder)).obtain("answers")
    assert {name: evidence.path(name).read_text(encoding="utf-8") for name in evidence.files} == {
        "link.txt": "b",
        "sub/a.txt": "a",
    }
    (folder / "sub" / "a.txt").write_text("changed later", encoding="utf-8")
    assert (folder / "sub" / "a.txt").stat().st_mode == mode
    assert evidence.path("sub/a.txt").read_text(encoding="utf-8") == "a"


def test_a_single_file_keeps_its_name(take: Take, tmp_path: Path) -> None:
    """`evidence: {answers: path/to/mine.jsonl}` is read as `mine.jsonl`; a text becomes `<name>.json`."""
    (tmp_path / "mine.jsonl").write_text("{}\n", encoding="utf-8")
    text = Experiment("release", "take in", None, lambda _at: TakenText(text='{"a": 1}'))
    laboratory = take(taken_in(tmp_path / "mine.jsonl"), text)
    assert laboratory.obtain("answers").rows("mine.jsonl") == [{}]
    assert laboratory.obtain("release").json("release.json") == {"a": 1}


def test_a_missing_file_is_the_same_error_every_time(take: Take, tmp_path: Path) -> None:
    """An input that is not there, or cannot be read, is an error of that evidence and not a crash of the run."""

    def absent() -> str:
        raise MissingInputsError("no file at x")

    def unreadable() -> str:
        raise PermissionError(13, "Permission denied", "x")

    for digest, message in ((absent, "no file at x"), (unreadable, "Permission denied")):
        experiment = Experiment("answers", "take in", None, free(path=Located(digest, Path)))
        laboratory = take(experiment)
        for _ in range(2):
            with pytest.raises(RefuteError, match=message):
                laboratory.obtain("answers")
