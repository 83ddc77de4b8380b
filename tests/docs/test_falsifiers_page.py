"""docs/falsifiers.md: its files, put into a fresh repository, do what the page says."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from refute.cli.commands.init import scaffold
from refute.falsifier.context import Evidence

Cli = Callable[..., CompletedProcess[str]]
PAGE = (Path(__file__).parents[2] / "docs/falsifiers.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scaffold with the page's files in it, as the working folder."""
    scaffold(tmp_path)
    for name, text in BLOCK.findall(PAGE):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_of_code_is_one_of_its_files() -> None:
    """None is left out of these tests."""
    assert PAGE.count("```python") + PAGE.count("```yaml") == len(BLOCK.findall(PAGE)) == 4


@pytest.mark.slow
def test_controls_behave_and_the_check_finds_nothing(written: Path, cli: Cli) -> None:
    """As the page's commands say of its falsifier and its spec."""
    tried, checked = cli("try", "answers-whole"), cli("check")
    assert (tried.returncode, tried.stdout.count(": behaved")) == (0, 3), tried.stdout
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("bar", ["<= 3 answers", "< 1 answers", "<= 19 answers"])
def test_its_control_stays_on_its_side_of_another_bar(written: Path, cli: Cli, bar: str) -> None:
    """As it says of `bench.bar`."""
    path = written / "specs/lengths.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("== 0 answers", bar), encoding="utf-8")
    assert cli("try", "answers-whole").returncode == 0


@pytest.mark.slow
def test_the_line_of_its_example_of_an_error_is_right(written: Path, cli: Cli) -> None:
    """The reason that it quotes is the one that comes out."""
    path = written / "falsifiers/lengths.py"
    path.write_text(path.read_text(encoding="utf-8").replace('"cut": n < cut', '"cut off": n < cut'), encoding="utf-8")
    (quoted,) = re.findall(r"`(falsifiers/lengths\.py:\d+: KeyError: 'cut')", PAGE)
    assert quoted in cli("try", "answers-whole").stdout


def test_a_seeded_generator_gives_the_same_again(written: Path) -> None:
    """As it says of random numbers."""
    first, second = (runpy.run_path(str(written / "sample.py"))["chosen"] for _ in range(2))
    assert first == second


def test_every_reader_of_evidence_is_on_the_page() -> None:
    """And nothing is that evidence does not have."""
    readers = {name for name in vars(Evidence) if not name.startswith("_")} - {"name", "digest", "folder", "files"}
    assert set(re.findall(r"`evidence\.(\w+)\(", PAGE)) == readers
