"""Which release and which specs a command is about: named, demanded by the release, or all that lie there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.cli.commands.init import scaffold
from refute.errors import SpecError, UsageError
from refute.spec.folders import SPECS, folders
from refute.spec.selection import choose_release, find_files, select

SPEC, RELEASE = SPECS / "example.yaml", SPECS / "releases" / "example.yaml"
OTHER = """spec: SPEC-OTHER-001
version: 1
title: Another
criteria:
  - {id: AC-OTHER-001, title: t, statement: s, severity: info, phase: 1,
     falsifiers: [{id: F-OTHER-001, title: t, planned: later}]}
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scaffolded example, with a second spec that its release does not demand."""
    scaffold(tmp_path)
    (tmp_path / SPECS / "other.yaml").write_text(OTHER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chosen(roots: list[Path], named: list[Path] | None = None) -> list[str]:
    """Ids of the specs that `select` finds."""
    _, specs = select(None, roots, named=named)
    return [loaded.spec.spec for loaded in specs]


def demand(repo: Path, *specs: str) -> None:
    """Let the release demand `specs`."""
    text = (repo / RELEASE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("specs:")]
    (repo / RELEASE).write_text("\n".join([*lines, f"specs: [{', '.join(specs)}]", ""]), encoding="utf-8")


@pytest.mark.slow
def test_all_specs_where_the_release_demands_none(repo: Path) -> None:
    """Every spec of the root, in order."""
    demand(repo)
    assert chosen([SPECS]) == ["SPEC-EXAMPLE-001", "SPEC-OTHER-001"]


def test_demanded_specs_come_first_and_never_drop_out(repo: Path) -> None:
    """A bare call takes what is demanded; what is named comes on top, once."""
    demand(repo, "../example.yaml")
    assert chosen([SPECS]) == ["SPEC-EXAMPLE-001"]
    assert chosen([SPECS], [SPECS / "other.yaml", SPEC]) == ["SPEC-EXAMPLE-001", "SPEC-OTHER-001"]


def test_a_named_file_that_is_not_there_is_not_passed_over(repo: Path) -> None:
    """A misspelt name is an error, and not a smaller selection."""
    with pytest.raises((SpecError, UsageError), match=r"exmaple\.yaml"):
        select(repo / RELEASE, [SPECS], named=[SPECS / "exmaple.yaml"])


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nowhere"), os.mkfifo], ids=["dangling link", "pipe"])
def test_a_spec_that_cannot_be_read_is_not_passed_over(repo: Path, make: Callable[[Path], None]) -> None:
    """What is called a spec and is none is an error, and not a smaller selection; an editor's lock is no spec."""
    (repo / SPECS / ".#other.yaml").symlink_to("somebody@host")
    assert len(chosen([SPECS])) == 2
    make(repo / SPECS / "third.yaml")
    with pytest.raises(SpecError, match=r"third\.yaml.*cannot be read"):
        chosen([SPECS])


def test_nothing_to_refute_is_an_error(repo: Path) -> None:
    """No spec named, none demanded, none there."""
    demand(repo)
    (repo / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing to refute"):
        select(repo / RELEASE, [repo / "empty"])


def test_one_of_several_releases_is_chosen_by_its_name_only(repo: Path) -> None:
    """The only one; of several `embedded.yaml`; else none is guessed. Roots that are files look in `specs`."""
    assert choose_release([SPECS]) == choose_release([SPEC]) == RELEASE
    (repo / RELEASE.with_name("second.yaml")).write_bytes((repo / RELEASE).read_bytes())
    with pytest.raises(UsageError, match=r"example\.yaml, .*second\.yaml"):
        choose_release([SPECS])
    (repo / RELEASE.with_name("embedded.yaml")).write_bytes((repo / RELEASE).read_bytes())
    assert choose_release([SPECS]) == RELEASE.with_name("embedded.yaml")


def test_files_are_told_apart_by_their_folder(repo: Path) -> None:
    """A file in releases/ is a release, a folder holds both kinds."""
    assert find_files([RELEASE, SPEC]) == ([SPEC], [RELEASE])
    assert find_files([SPECS]) == ([SPEC, SPECS / "other.yaml"], [RELEASE])


def test_a_default_folder_counts_only_where_it_is(repo: Path) -> None:
    """What is named is taken at its word; the default must be there."""
    assert folders(None, SPECS) == [SPECS]
    assert folders(None, Path("nowhere")) == []
    assert folders([Path("nowhere")], SPECS) == [Path("nowhere")]
