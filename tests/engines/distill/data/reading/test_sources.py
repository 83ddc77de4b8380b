"""Which files of a folder are a corpus, and which came along with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from refute.engines.distill.data.reading.sources import find_sources
from refute.errors import MissingInputsError, UsageError


def _files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def test_folders_are_searched_by_pattern_and_sorted(tmp_path: Path) -> None:
    """Files below folders come sorted, a file that is named is taken whatever the pattern, finding none is an error."""
    _files(tmp_path, "b/two.py", "b/one.py", "a.txt", "c.py")
    found = find_sources([tmp_path, tmp_path / "a.txt"], "**/*.py")
    assert [path.name for path in found.files] == ["one.py", "two.py", "c.py", "a.txt"]
    assert found.passed_over == ()
    with pytest.raises(MissingInputsError, match=r"no file matches '\*\.rs'"):
        find_sources([tmp_path], "*.rs")
    with pytest.raises(MissingInputsError, match=r"no file or folder at .*gone"):
        find_sources([tmp_path / "gone"], "**/*")


def test_what_comes_along_with_a_repository_or_a_download_is_no_corpus(tmp_path: Path) -> None:
    """Hooks of git, caches of a hub and READMEs are passed over and named; one that is named itself is read."""
    root = tmp_path / ".cache" / "mine"  # hidden itself, which says nothing about what is below
    _files(root, "data/a.txt", "data/readme_of_a_story.txt")
    _files(root, ".git/hooks/pre-commit.sample", ".cache/huggingface/a.metadata", ".gitattributes")
    _files(root, "README.md", "data/README", "LICENSE", "dataset_infos.json")
    found = find_sources([root], "**/*")
    assert [path.name for path in found.files] == ["a.txt", "readme_of_a_story.txt"]
    assert {path.name for path in found.passed_over} == {
        *("pre-commit.sample", "a.metadata", ".gitattributes", "README.md", "README", "LICENSE", "dataset_infos.json"),
    }
    assert find_sources([root / "README.md"], "**/*").files == (root / "README.md",)
    with pytest.raises(MissingInputsError, match=r"no file matches '\*\.md' but README\.md") as caught:
        find_sources([root], "*.md")
    assert "name such files themselves" in caught.value.hint


def test_a_folder_of_several_saved_datasets_is_refused_naming_them(tmp_path: Path) -> None:
    """Their JSON and Arrow files must not become documents; each of them can be named."""
    rows = Dataset.from_dict({"text": ["a", "b"]})
    DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    with pytest.raises(UsageError, match="both holds several datasets: test, train"):
        find_sources([tmp_path / "both"], "**/*")
    train = tmp_path / "both" / "train"
    assert find_sources([train], "**/*").files == (train,)
