"""Which run is meant: by path, id, as `latest`, or the newest that waits for a judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import EvidenceError, UsageError
from refute.judge.run.find_run import newest_unjudged, open_run, point_latest
from refute.judge.run.folder import RunFolder
from refute.judge.run.verdict_files import put_verdict


def make_run(root: Path, name: str, *, ended: bool = True, judged: bool = False) -> RunFolder:
    """A run of that name, with no more in it than finding it takes."""
    run = RunFolder(root / "runs" / name)
    run.path.mkdir(parents=True)
    (run.path / "run.json").write_text("{}", encoding="utf-8")
    if ended:
        run.write_end(0)
    if judged:
        put_verdict(run.path, b"{}")
    return run


def test_latest_is_the_run_judged_last_and_one_name_among_others(tmp_path: Path) -> None:
    """A run is found by path, by id, and as `latest` once that points to it; an older one can be judged later."""
    older, newer = make_run(tmp_path, "1"), make_run(tmp_path, "2")
    for run in (newer, older):
        point_latest(run, tmp_path)
        for text in (str(run.path), run.path.name, "latest"):
            assert open_run(text, tmp_path).path == run.path
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["1", "2", "latest"]


def test_latest_does_not_point_out_of_its_folder(tmp_path: Path) -> None:
    """A run that lies elsewhere leaves no link anywhere."""
    run = make_run(tmp_path / "elsewhere", "1")
    point_latest(run, tmp_path)
    assert not list(tmp_path.rglob("latest"))


def test_a_folder_in_place_of_the_link_is_an_error(tmp_path: Path) -> None:
    """It is named, and nothing is left beside it."""
    run = make_run(tmp_path, "1")
    (tmp_path / "runs/latest/mine").mkdir(parents=True)
    with pytest.raises(EvidenceError, match="runs/latest does not point to the run"):
        point_latest(run, tmp_path)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["1", "latest"]


def test_the_newest_run_that_waits(tmp_path: Path) -> None:
    """It has ended and has no verdict, wherever `latest` points."""
    waiting = make_run(tmp_path, "2")
    make_run(tmp_path, "1")
    make_run(tmp_path, "4", ended=False)
    point_latest(make_run(tmp_path, "3", judged=True), tmp_path)
    assert newest_unjudged(tmp_path).path == waiting.path


@pytest.mark.parametrize(
    ("ended", "judged", "says"), [(True, True, "is judged already"), (False, False, "did not reach its end")]
)
def test_where_none_waits_it_is_said_what_there_is(tmp_path: Path, ended: bool, judged: bool, says: str) -> None:
    """The newest run, why it does not wait, and how to judge it all the same."""
    make_run(tmp_path, "1", judged=True)
    make_run(tmp_path, "2", ended=ended, judged=judged)
    with pytest.raises(UsageError, match=f"the newest of 2, 2, {says}") as caught:
        newest_unjudged(tmp_path)
    assert caught.value.hint.endswith("refute judge 2")


def test_an_unknown_run_is_a_usage_error(tmp_path: Path) -> None:
    """A folder without run.json is no run, and the hint says how to get one."""
    (tmp_path / "runs" / "x").mkdir(parents=True)
    with pytest.raises(UsageError, match="no run 'x'") as unknown:
        open_run("x", tmp_path)
    with pytest.raises(UsageError, match="no run below") as none:
        newest_unjudged(tmp_path)
    assert ["pytest --falsifiers" in caught.value.hint for caught in (unknown, none)] == [True, True]
