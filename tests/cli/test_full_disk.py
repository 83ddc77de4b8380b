"""Every command that writes, on a disk that is full, and where something else lies in the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from every_command import COMMANDS, Place, Words
from full_disk import room_for
from refute.engines.distill.threads import one_thread

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.slow  # a call of every command, twice

# What they write does not lie where their call says, but beside what they read.
BESIDE: dict[Words, str] = {("judge",): "/runs/", ("review",): "specs/reviews.json"}
READERS: set[Words] = {
    *{
        ("check",),
        ("try",),
        ("gate",),
        ("verify",),
        ("report",),
        ("diff",),
        ("latest",),
        ("controls",),
        ("status",),
        ("dogfood",),
    },
    ("power",),
    *{("distill", "certify"), ("distill", "plan"), ("eval", "compare"), ("store", "list"), ("store", "prune")},
    *{("publish", "push"), ("lock", "show"), ("lock", "verify")},
    *{("model", each) for each in ("inspect", "lint", "pull", "run", "bench", "qa", "readiness")},
    ("rerun",),  # of what is here nothing can be challenged
}


@pytest.mark.parametrize("name", sorted({*COMMANDS} - READERS), ids=" ".join)
def test_a_full_disk_is_named(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Words
) -> None:
    """Status 7, and the path that could not be written; nobody sees a traceback."""
    monkeypatch.chdir(place.root)
    if name == ("review",):
        (place.root / "specs/reviews.json").unlink(missing_ok=True)
    (tmp_path / "out").mkdir()
    words = place.calls(tmp_path / "out")[name]
    with room_for(0), one_thread():
        ended = cli(*name, *words)
    assert ended.returncode == 7, ended.stderr
    assert BESIDE.get(name, str(tmp_path / "out")) in ended.stderr
    assert "cannot write" in ended.stderr or "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "nobody meant" not in ended.stderr


@pytest.mark.parametrize("name", sorted({*COMMANDS} - READERS - {*BESIDE}), ids=" ".join)
def test_a_file_in_the_place_of_a_folder_is_named_wrongly(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Words
) -> None:
    """Status 2, and which."""
    monkeypatch.chdir(place.root)
    (tmp_path / "out").write_bytes(b"mine")
    with one_thread():
        ended = cli(*name, *place.calls(tmp_path / "out")[name])
    assert (ended.returncode, str(tmp_path / "out") in ended.stderr) == (2, True), ended.stderr
    assert (tmp_path / "out").read_bytes() == b"mine"
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 100, 1500])
def test_init_on_a_full_disk_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Wherever the disk ends: not one file or folder of the example."""
    monkeypatch.chdir(tmp_path)
    with room_for(size):
        ended = cli("init", "new/one")
    assert (ended.returncode, list(tmp_path.iterdir())) == (7, [])
    assert "refute: cannot write new/one/" in ended.stderr
